//! The limits of the steering filters, on one screen.

/// Most IPv4 ranges whose clear packets are suspect; beyond it neighbours are summarised. With two
/// searches of two boundaries a range the program stays below the kernel's 4,096 instructions.
pub const RANGES_MAX: usize = 500;

/// Most own addresses or servers in a filter: each is one comparison in several places.
pub const ADDRESSES_MAX: usize = 64;

/// Boundaries that one piece of a search holds: its conditions reach its own two exits.
pub const SEARCH_PIECE: usize = 64;

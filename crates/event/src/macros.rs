//! The one macro that defines messages.

/// One row of the message documentation.
#[derive(Copy, Clone, Debug)]
pub struct Entry {
    /// `GDOI`, `CRYPTO`, ...
    pub facility: &'static str,
    /// 0 (emergency) ..= 7 (debugging).
    pub severity: u8,
    /// The mnemonic.
    pub mnemonic: &'static str,
    /// The text with its fields in braces.
    pub template: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What to do about it.
    pub action: &'static str,
    /// The event-trace buffer that it enters.
    pub trace: crate::trace::Buffer,
}

macro_rules! catalogue {
    (
        $(#[doc = $enum_doc:literal])+
        $facility:ident = $word:literal;
        $(
            $(#[doc = $doc:literal])+
            #[action = $action:literal]
            $severity:literal $mnemonic:ident in $buffer:ident { $($field:ident: $ty:ty),* $(,)? }
                $text:literal;
        )+
    ) => {
        $(#[doc = $enum_doc])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(non_camel_case_types, missing_docs)]
        pub enum $facility {
            $(
                $(#[doc = $doc])+
                $mnemonic { $($field: $ty),* },
            )+
        }

        impl $facility {
            /// The documentation rows of this facility, in the order of declaration.
            pub const ENTRIES: &'static [$crate::macros::Entry] = &[$(
                $crate::macros::Entry {
                    facility: $word,
                    severity: $severity,
                    mnemonic: stringify!($mnemonic),
                    template: $text,
                    meaning: concat!($($doc),+),
                    action: $action,
                    trace: $crate::trace::Buffer::$buffer,
                },
            )+];

            /// The documentation row of this message.
            #[must_use]
            pub fn entry(&self) -> &'static $crate::macros::Entry {
                let mnemonic = match self { $(Self::$mnemonic { .. } => stringify!($mnemonic)),+ };
                let place = Self::ENTRIES.binary_search_by_key(&mnemonic, |entry| entry.mnemonic);
                &Self::ENTRIES[place.expect("entries are alphabetical, which a test checks")]
            }

            /// Calls `each` with every field's name and text, in the order of declaration.
            pub fn fields(&self, each: &mut dyn FnMut(&'static str, String)) {
                match self {
                    $(Self::$mnemonic { $($field),* } => {
                        $(each(stringify!($field), $field.to_string());)*
                    })+
                }
                let _ = each;
            }
        }

        impl std::fmt::Display for $facility {
            #[allow(unused_variables)]
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self { $(Self::$mnemonic { $($field),* } => write!(f, $text)),+ }
            }
        }
    };
}

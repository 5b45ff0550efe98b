//! The one macro that makes protocol numbers.

/// Declares an open protocol number: a struct over an integer with named constants.
///
/// Values without a name survive decoding and encoding; `Debug` and `Display` print the name, or
/// the number where there is none.
macro_rules! numbers {
    (
        $(#[$doc:meta])*
        $name:ident($repr:ty) {
            $( $(#[$value_doc:meta])* $value_name:ident = $value:literal; )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Copy, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $repr);

        impl $name {
            $(
                #[doc = concat!("`", stringify!($value_name), "`, ", stringify!($value), ".")]
                $(#[$value_doc])*
                pub const $value_name: Self = Self($value);
            )*

            /// The name of this number, if it has one.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $( $value => Some(stringify!($value_name)), )*
                    _ => None,
                }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, concat!(stringify!($name), "({})"), self.0),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.pad(name),
                    None => write!(f, "{}", self.0),
                }
            }
        }
    };
}

pub(crate) use numbers;

#[cfg(test)]
mod tests {
    use crate::iana::{ExchangeType, PayloadType};

    #[test]
    fn a_number_prints_its_name_or_itself() {
        assert_eq!(ExchangeType::GROUPKEY_PULL.to_string(), "GROUPKEY_PULL");
        assert_eq!(ExchangeType(99).to_string(), "99");
        assert_eq!(format!("{:?}", PayloadType(200)), "PayloadType(200)");
    }
}

//! IPv4 options (RFC 791 section 3.1): packets with most of them are taken, and the options are ignored.

/// Whether a packet with these options is taken: not with a source route (RFC 7126 sections 4.3.5 and 4.4.5), by which
/// answers would go where the sender wants, and not when a length lies.
#[cold]
pub(crate) fn are_acceptable(mut options: &[u8]) -> bool {
    while let [kind, rest @ ..] = options {
        options = match (*kind, rest) {
            (END_OF_OPTIONS, _) => return true,
            (NO_OPERATION, rest) => rest,
            (LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE, _) => return false,
            // The length counts the kind and itself.
            (_, [len @ (2..), ..]) => match options.get(usize::from(*len)..) {
                Some(others) => others,
                None => return false,
            },
            _ => return false,
        };
    }
    true
}

const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_7126_4_3_5_source_routes_are_not_taken() {
        for kind in [LOOSE_SOURCE_ROUTE, STRICT_SOURCE_ROUTE] {
            let route = [kind, 7, 4, 10, 0, 0, 9, 0];
            assert!(!are_acceptable(&route));
            assert!(!are_acceptable(&[&[1, 148, 4, 0, 0][..], &route].concat()));
            // What is behind the end is padding.
            assert!(are_acceptable(&[&[1, 148, 4, 0, 0, 0][..], &route].concat()));
        }
    }

    #[test]
    fn rfc_791_3_1_options_whose_lengths_lie_are_not_taken() {
        for options in [&[148, 0, 0, 0][..], &[148, 1, 0, 0], &[148, 5, 0, 0], &[1, 1, 1, 148]] {
            assert!(!are_acceptable(options), "{options:?}");
        }
        // Router alert (RFC 2113), a recorded route, and nothing.
        for options in [&[148, 4, 0, 0][..], &[7, 7, 4, 0, 0, 0, 0, 0], &[1, 1, 1, 1], &[]] {
            assert!(are_acceptable(options), "{options:?}");
        }
    }
}

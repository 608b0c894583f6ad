//! Receipts as text: base64url without padding, which no shell takes apart.

use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use forebay_protocol::Receipt;

/// A receipt as an argument.
#[derive(Debug, Clone)]
pub(super) struct ReceiptText(pub(super) Receipt);

/// What a text is that is refused.
const EXPECTED: &str = "expected a receipt as receive shows it: 38 letters, digits, - and _";

impl FromStr for ReceiptText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| EXPECTED.to_owned())?;
        Receipt::new(bytes).map(Self).map_err(|_| EXPECTED.to_owned())
    }
}

/// The receipt's text.
pub(super) fn receipt_text(receipt: &Receipt) -> String {
    BASE64URL_NOPAD.encode(receipt.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_receipt_reads_back_from_its_text(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let receipt = Receipt::new(bytes).expect("64 bytes are allowed");
            let text: ReceiptText = receipt_text(&receipt).parse().expect("it was written above");
            prop_assert_eq!(text.0, receipt);
        }
    }

    #[test]
    fn what_is_no_receipt_is_refused_with_a_reason() {
        for text in ["!", "a", &"A".repeat(1000)] {
            assert!(text.parse::<ReceiptText>().is_err(), "{text:?} was taken for a receipt");
        }
    }
}

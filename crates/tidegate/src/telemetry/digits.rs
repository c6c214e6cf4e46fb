//! Numbers in log lines, without the machinery of `fmt`: a line has a dozen, and a worker writes a line for each
//! request.

/// Appends `number` in decimal.
pub fn push_number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends the last `WIDTH` decimal digits of `number`, zeros in front.
pub fn push_digits<const WIDTH: usize>(out: &mut Vec<u8>, number: u32) {
    let mut rest = number;
    let mut digits = [b'0'; WIDTH];
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits);
}

/// Appends `number` as 16 hexadecimal digits.
pub fn push_hex(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(number.to_be_bytes().map(hex).as_flattened());
}

/// The two hexadecimal digits of `byte`, in lower case.
pub fn hex(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn obs_1_numbers_read_as_fmt_would_write_them() {
        for number in [0, 1, 9, 10, 99, 100, 123_456_789, u32::MAX] {
            assert_eq!(text(|out| push_number(out, number)), format!("{number}"));
            assert_eq!(text(|out| push_digits::<10>(out, number)), format!("{number:010}"));
            assert_eq!(text(|out| push_digits::<2>(out, number)), format!("{:02}", number % 100));
        }
        for number in [0, 0xfeed, 0x0123_4567_89ab_cdef, u64::MAX] {
            assert_eq!(text(|out| push_hex(out, number)), format!("{number:016x}"));
        }
    }
}

//! What an HTTP/2 client may do: however its bytes are cut, the verdict is the same, and it is that of a plain count.
//!
//! The input is a list of six bytes each: how many times a frame comes (in steps of 16), its direction, type, flags, and
//! the length of its payload.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::clock::Millis;
use tidegate::conn::h2::patience::{Flood, Patience};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The first frame, without which nothing else counts.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

fuzz_target!(|data: &[u8]| fuzz::timely(data, check));

fn check(data: &[u8]) {
    let orders: Vec<[u8; 6]> = data.chunks_exact(6).filter_map(|order| order.try_into().ok()).collect();
    let whole = judge(&orders, usize::MAX);
    for step in [1, 2, 7, 10] {
        assert_eq!(judge(&orders, step), whole, "{step} bytes at a time");
    }
    assert_eq!(whole, counted(&orders));
}

/// The verdict, where bytes come `step` at a time.
fn judge(orders: &[[u8; 6]], step: usize) -> Option<Flood> {
    let mut patience = Patience::new(Millis(0));
    for bytes in [PREFACE, SETTINGS].concat().chunks(step.min(PREFACE.len())) {
        patience.receive(bytes, Millis(0));
    }
    for order in orders {
        let (times, sent, frame) = frame(order);
        for _ in 0..times {
            for bytes in frame.chunks(step.min(frame.len())) {
                if sent { patience.send(bytes) } else { patience.receive(bytes, Millis(0)) }
            }
        }
    }
    patience.verdict()
}

/// How often a frame comes, whether it is sent to the client, and its bytes.
fn frame(&[times, sent, kind, flags, high, low]: &[u8; 6]) -> (u32, bool, Vec<u8>) {
    let times = u32::from(times % 64) * 16;
    // Many are short: what is long many times over takes time and tells nothing new.
    let length =
        if times > 16 { usize::from(low % 16) } else { usize::from(high % 4) * 256 + usize::from(low) };
    let [_, _, _, _, _, a, b, c] = length.to_be_bytes();
    let header = [a, b, c, kind % 11, flags, 0, 0, 0, 1];
    // The error code of a reset: one of the lowest, by its last byte.
    (times, sent % 2 == 1, [&header[..], &vec![low % 12; length]].concat())
}

/// The same by the words of `patience`, frame by frame.
fn counted(orders: &[[u8; 6]]) -> Option<Flood> {
    let (mut purse, mut change, mut resets, mut mistakes, mut block) = (999_u64, 0, 0_u64, 0, None);
    for order in orders {
        let (times, sent, frame) = frame(order);
        let (kind, flags, length) = (frame[3], frame[4], frame.len() as u64 - 9);
        for _ in 0..times {
            let (carries, ends) = (kind == 0 && length > 0, flags & 1 == 1);
            if carries {
                change += length;
                purse = (purse + change / 512).min(10_000);
                change %= 512;
            }
            if sent {
                resets -= u64::from(kind < 2 && ends && resets > 0);
                let code = frame.get(9..13).map_or(0, |code| u32::from_be_bytes(code.try_into().unwrap()));
                mistakes += u64::from(kind == 3 && length >= 4 && ![0, 2, 7, 8].contains(&code));
                if kind == 3 && length >= 4 && code == 7 {
                    let Some(left) = purse.checked_sub(9) else { return Some(Flood::Idle) };
                    purse = left;
                }
                if mistakes > 200 {
                    return Some(Flood::Mistakes);
                }
                continue;
            }
            if kind == 1 {
                purse = (purse + 8).min(10_000);
                block = (flags & 4 == 0).then_some((0, length));
            } else if !carries && !(kind == 0 && ends) {
                let Some(left) = purse.checked_sub(1) else { return Some(Flood::Idle) };
                purse = left;
                resets += u64::from(kind == 3);
            }
            if kind == 9 {
                let (count, bytes) = block.unwrap_or((0, 0));
                block = (flags & 4 == 0).then_some((count + 1, bytes + length));
            }
            if resets > 200 {
                return Some(Flood::Resets);
            }
            if block.is_some_and(|(count, bytes)| count > 8 || bytes > 128 * 1024) {
                return Some(Flood::Block);
            }
        }
    }
    None
}

//! By what requests are told apart: a method and a status, from closed sets. Nothing a client sends becomes a label.
//!
//! A pair that can occur has a cell of its own; every other one is counted under its method and the status `_OTHER`
//! (the word of OpenTelemetry's HTTP conventions), so the number of cells is a constant.

use crate::http::request::Method;

/// Known methods, and one for all others.
const METHODS: usize = 5;
/// The lowest status that is told apart.
const LOWEST: u16 = 200;
/// How many numbers there are from the lowest to the highest status.
const STATUSES: usize = 308;

const GET: u8 = 1;
const HEAD: u8 = 1 << 1;
const POST: u8 = 1 << 2;
const OPTIONS: u8 = 1 << 3;
const READ: u8 = GET | HEAD;
const ANY: u8 = READ | POST | OPTIONS | 1 << 4;

/// Each status that this server sends, and the methods that can get it.
const ANSWERS: [(u16, u8); 26] = [
    (200, READ | POST),
    (201, POST),
    (204, OPTIONS),
    (206, READ),
    (304, READ),
    (308, READ | POST | OPTIONS),
    (400, ANY),
    (403, ANY),
    (404, ANY),
    (405, ANY),
    (408, ANY),
    (411, POST),
    (412, READ),
    (413, ANY),
    (414, ANY),
    (415, POST),
    (416, READ),
    (417, ANY),
    (421, ANY),
    (429, ANY),
    (431, ANY),
    (500, ANY),
    (501, ANY),
    (503, ANY),
    (505, ANY),
    (507, POST),
];

/// How many pairs are told apart.
pub const CELLS: usize = {
    let (mut count, mut answer) = (METHODS, 0);
    while answer < ANSWERS.len() {
        count += ANSWERS[answer].1.count_ones() as usize;
        answer += 1;
    }
    count
};

/// The method and the status of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The place of the method among [`METHODS`].
    method: u8,
    /// `None` for all that is not told apart, also where no answer was sent.
    status: Option<u16>,
}

impl Pair {
    /// The pair of each cell.
    pub const ALL: [Self; CELLS] = tables().0;

    /// The value of the label `http_request_method`.
    pub const fn method(self) -> &'static str {
        match self.method {
            0 => "GET",
            1 => "HEAD",
            2 => "POST",
            3 => "OPTIONS",
            _ => "_OTHER",
        }
    }

    /// The value of the label `http_response_status_code`.
    pub fn status(self) -> String {
        self.status.map_or_else(|| "_OTHER".to_owned(), |status| status.to_string())
    }
}

/// The cell of a request by `method` (`None` where it is not known) that was answered `status` (0 where it was not).
#[inline]
pub(super) fn cell(method: Option<Method>, status: u16) -> usize {
    let method = match method {
        Some(Method::Get) => 0,
        Some(Method::Head) => 1,
        Some(Method::Post) => 2,
        Some(Method::Options) => 3,
        None => METHODS - 1,
    };
    let row = CELL_OF.get(usize::from(status.wrapping_sub(LOWEST)));
    row.map_or(method, |row| usize::from(row[method]))
}

/// The cell of each pair, by status and method.
static CELL_OF: [[u8; METHODS]; STATUSES] = tables().1;

/// The pair of each cell, and the cell of each pair. The first cells are those of `_OTHER`, one per method.
const fn tables() -> ([Pair; CELLS], [[u8; METHODS]; STATUSES]) {
    let mut pairs = [Pair { method: 0, status: None }; CELLS];
    let mut cells = [[0, 1, 2, 3, 4]; STATUSES];
    let mut next: u8 = 0;
    while (next as usize) < METHODS {
        pairs[next as usize].method = next;
        next += 1;
    }
    let mut answer = 0;
    while answer < ANSWERS.len() {
        let (status, methods) = ANSWERS[answer];
        let mut method: u8 = 0;
        while (method as usize) < METHODS {
            if methods >> method & 1 == 1 {
                pairs[next as usize] = Pair { method, status: Some(status) };
                cells[(status - LOWEST) as usize][method as usize] = next;
                next += 1;
            }
            method += 1;
        }
        answer += 1;
    }
    (pairs, cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Code;

    const KNOWN: [Option<Method>; METHODS] =
        [Some(Method::Get), Some(Method::Head), Some(Method::Post), Some(Method::Options), None];

    #[test]
    fn obs_2_every_pair_has_its_own_cell_or_that_of_other() {
        for method in KNOWN {
            for status in 0..=u16::MAX {
                let pair = Pair::ALL[cell(method, status)];
                let name = method.map_or("_OTHER".to_owned(), |method| format!("{method:?}").to_uppercase());
                assert_eq!(pair.method(), name);
                let shown = ANSWERS
                    .iter()
                    .any(|(known, methods)| *known == status && methods >> pair.method & 1 == 1);
                assert_eq!(pair.status(), if shown { status.to_string() } else { "_OTHER".to_owned() });
            }
        }
    }

    #[test]
    fn obs_2_every_refusal_can_be_told_apart() {
        for code in Code::ALL {
            let status = code.row().status;
            assert!(ANSWERS.iter().any(|(known, _)| *known == status), "{status} is missing");
        }
        assert!(ANSWERS.is_sorted());
        assert_eq!(usize::from(ANSWERS[ANSWERS.len() - 1].0 - LOWEST) + 1, STATUSES, "the table ends there");
    }
}

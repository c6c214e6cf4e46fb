//! Answers to verdict: was the case accepted or refused, and is that right?

use super::cases::{Case, Says};
use super::exceptions::{self, Instead};
use super::talk::{Answer, Heard};

/// What a server says of bytes that it does not take for a request. Other errors (404, 405, …) answer a request that was
/// understood; beside a body that proves malformed later they may come first, and then the connection ends.
const REFUSING: [u16; 6] = [400, 408, 414, 431, 501, 505];

/// What the server made of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Accepted,
    Refused,
}

/// Judges what was heard of `case`; an `Err` says what is wrong.
pub(super) fn judge(case: &Case, heard: &Heard) -> Result<(), &'static str> {
    if !heard.ended {
        return Err("hangs");
    }
    if !heard.clean {
        return Err("half an answer, or something else");
    }
    if let Some((_, before)) = heard.answers.split_last()
        && before.iter().any(|answer| answer.closes)
    {
        return Err("something behind the last answer is answered");
    }
    let outcome = outcome(case, &heard.answers)?;
    let wanted = match (case.says, exceptions::of(case).map(|exception| exception.instead)) {
        (_, Some(Instead::Unjudged)) | (Says::Unfinished { .. }, _) => return Ok(()),
        (_, Some(Instead::Refused)) | (Says::Invalid { .. }, None) => Outcome::Refused,
        (_, Some(Instead::Accepted)) | (Says::Valid { .. }, None) => Outcome::Accepted,
    };
    match (wanted, outcome) {
        (Outcome::Accepted, Outcome::Refused) => Err("valid, and refused"),
        (Outcome::Refused, Outcome::Accepted) => Err("invalid, and accepted"),
        _ => Ok(()),
    }
}

/// Accepted: every request is answered as one, up to an answer that closes.
fn outcome(case: &Case, answers: &[Answer]) -> Result<Outcome, &'static str> {
    // The probe behind a case is a request, too.
    let most = match case.says {
        Says::Valid { requests } => requests + 1,
        Says::Invalid { after } => after + 2,
        Says::Unfinished { after } => after + 1,
    };
    if answers.len() > most {
        return Err("more answers than requests");
    }
    let Some(last) = answers.last() else { return Ok(Outcome::Refused) };
    let refused = answers.iter().any(|answer| REFUSING.contains(&answer.status));
    let Says::Invalid { after } = case.says else {
        return Ok(if refused { Outcome::Refused } else { Outcome::Accepted });
    };
    // The connection ended before the malformed request, or within its body.
    let broken_off = answers.len() <= after || case.has_body() && last.status >= 400 && answers.len() < most;
    Ok(if refused || broken_off { Outcome::Refused } else { Outcome::Accepted })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(says: Says, body: bool, answers: &[(u16, bool)]) -> Result<(), &'static str> {
        let bytes = if body {
            &b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n"[..]
        } else {
            b"GET / HTTP/1.1\r\n\r\n"
        };
        let case = Case { corpus: "own", name: "case".to_owned(), bytes: bytes.to_vec(), says };
        let answers = answers.iter().map(|&(status, closes)| Answer { status, closes }).collect();
        judge(&case, &Heard { answers, ended: true, clean: true })
    }

    #[test]
    fn a_valid_case_is_answered_with_its_probe_or_closed() {
        let valid = Says::Valid { requests: 1 };
        assert_eq!(judged(valid, false, &[(404, false), (200, true)]), Ok(()));
        assert_eq!(judged(valid, false, &[(405, true)]), Ok(()));
        assert_eq!(judged(valid, false, &[(400, true)]), Err("valid, and refused"));
        assert_eq!(judged(valid, false, &[]), Err("valid, and refused"));
        assert_eq!(
            judged(valid, false, &[(200, false), (404, false), (200, true)]),
            Err("more answers than requests")
        );
        assert!(judged(valid, false, &[(200, true), (200, true)]).is_err());
    }

    #[test]
    fn an_invalid_case_is_refused_and_nothing_behind_it_answered() {
        let invalid = Says::Invalid { after: 0 };
        assert_eq!(judged(invalid, false, &[(400, true)]), Ok(()));
        assert_eq!(judged(invalid, false, &[]), Ok(()));
        // A repeated Host spoils no framing.
        assert_eq!(judged(invalid, false, &[(400, false), (200, true)]), Ok(()));
        assert_eq!(judged(invalid, false, &[(405, true)]), Err("invalid, and accepted"));
        assert_eq!(judged(invalid, true, &[(405, true)]), Ok(()));
        assert_eq!(judged(invalid, true, &[(405, false)]), Ok(()));
        assert_eq!(judged(Says::Invalid { after: 1 }, false, &[(200, true)]), Ok(()));
        assert_eq!(judged(invalid, true, &[(200, true)]), Err("invalid, and accepted"));
        assert_eq!(judged(invalid, true, &[(405, false), (200, true)]), Err("invalid, and accepted"));
        assert_eq!(
            judged(invalid, false, &[(400, true), (200, true)]),
            Err("something behind the last answer is answered")
        );
    }

    #[test]
    fn what_never_ends_or_is_cut_is_wrong_whatever_its_authors_say() {
        let case =
            Case { corpus: "own", name: String::new(), bytes: vec![], says: Says::Unfinished { after: 0 } };
        assert!(judge(&case, &Heard { answers: vec![], ended: false, clean: true }).is_err());
        assert!(judge(&case, &Heard { answers: vec![], ended: true, clean: false }).is_err());
        assert!(judge(&case, &Heard { answers: vec![], ended: true, clean: true }).is_ok());
    }
}

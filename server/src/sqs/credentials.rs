//! Access keys, and what each may do.
//!
//! ```toml
//! [[key]]
//! id = "AKIDORDERS"
//! secret = "..."
//! session-token = "..."       # only of a temporary key, which is not taken without it
//! account = "111111111111"    # if it is not the server's: then a queue's Policy decides alone
//! user = "orders"             # who it is, in policies: arn:aws:iam::<account>:user/<user>; the id if not given
//! allow = [{ actions = ["SendMessage", "Get*"], queues = ["orders*"] }]   # everything if not given
//! ```

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;

/// The access keys that are known.
#[derive(Clone, Default)]
pub struct Credentials {
    keys: HashMap<String, Key>,
}

/// An access key.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Key {
    id: String,
    pub(super) secret: String,
    pub(super) session_token: Option<String>,
    account: Option<String>,
    user: Option<String>,
    allow: Option<Vec<Right>>,
}

/// What a key may do.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Right {
    actions: Vec<String>,
    queues: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    key: Vec<Key>,
}

impl Credentials {
    /// The keys of a file's text; `is_action` says whether an action's name is as this pattern says.
    pub(super) fn read(text: &str, is_action: impl Fn(&str) -> bool) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut keys = HashMap::new();
        for key in file.key {
            if key.id.is_empty() || key.secret.is_empty() {
                return Err("a key has an empty id or secret".to_owned());
            }
            key.check_rights(&is_action)?;
            if let Some(before) = keys.insert(key.id.clone(), key) {
                return Err(format!("key {} is given twice", before.id));
            }
        }
        match keys.is_empty() {
            true => Err("there is no [[key]]".to_owned()),
            false => Ok(Self { keys }),
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<&Key> {
        self.keys.get(id)
    }
}

/// Secrets are not for logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({} keys)", self.keys.len())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

impl Key {
    /// The account that it is of, where this server's is `own`.
    pub(super) fn account<'a>(&'a self, own: &'a str) -> &'a str {
        self.account.as_deref().unwrap_or(own)
    }

    /// Who it is.
    pub(super) fn arn(&self, own: &str) -> String {
        let user = self.user.as_deref().unwrap_or(&self.id);
        format!("arn:aws:iam::{}:user/{user}", self.account(own))
    }

    /// What no action is called would be a right that nobody has.
    fn check_rights(&self, is_action: impl Fn(&str) -> bool) -> Result<(), String> {
        let mut patterns = self.allow.iter().flatten().flat_map(|right| &right.actions);
        match patterns.find(|pattern| !is_action(pattern)) {
            None => Ok(()),
            Some(pattern) => Err(format!(
                "key {}: an action {pattern:?}, expected the name of an action that is no batch \
                 (a right to SendMessage is one to SendMessageBatch), in which * and ? may stand",
                self.id
            )),
        }
    }

    /// Whether it may do this by its own rights, to this queue if it is about one.
    pub(super) fn may(&self, action: &str, queue: Option<&str>) -> bool {
        let Some(rights) = &self.allow else { return true };
        rights.iter().any(|right| {
            let matches_action =
                right.actions.iter().any(|pattern| matches(pattern, action, Case::Ignored));
            let matches_queue = |queue: &str| {
                right.queues.iter().any(|pattern| matches(pattern, queue, Case::Respected))
            };
            matches_action && queue.is_none_or(matches_queue)
        })
    }
}

/// Whether upper and lower case are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Ignored,
    Respected,
}

/// Whether a text is as a pattern says, in which `*` is any text and `?` any character.
pub(super) fn matches(pattern: &str, text: &str, case: Case) -> bool {
    let (pattern, text) = match case {
        Case::Ignored => (pattern.to_lowercase(), text.to_lowercase()),
        Case::Respected => (pattern.to_owned(), text.to_owned()),
    };
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    // The last star, and the text behind what it stands for so far.
    let (mut at, mut place, mut star) = (0, 0, None);
    while place < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[place] => {
                at += 1;
                place += 1;
            }
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    place = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_stars_and_question_marks() {
        for (pattern, text) in
            [("*", ""), ("*", "a"), ("a*", "abc"), ("a*c", "abbc"), ("*b*", "abc"), ("a?c", "abc")]
        {
            assert!(matches(pattern, text, Case::Respected), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a", "ab"), ("a*c", "ab"), ("?", ""), ("A", "a")] {
            assert!(!matches(pattern, text, Case::Respected), "{pattern} {text}");
        }
        assert!(matches("SENDmessage", "SendMessage", Case::Ignored));
    }

    #[test]
    fn a_key_may_do_what_it_is_allowed_and_everything_if_nothing_is_said() {
        let text = "[[key]]\nid = 'a'\nsecret = 's'\n[[key]]\nid = 'b'\nsecret = 's'\n\
                    allow = [{ actions = ['Send*'], queues = ['orders*'] }]";
        let credentials = Credentials::parse(text).unwrap();
        let (all, some) = (credentials.get("a").unwrap(), credentials.get("b").unwrap());
        assert!(all.may("DeleteQueue", Some("q")) && all.may("ListQueues", None));
        assert!(some.may("SendMessage", Some("orders-1")));
        assert!(!some.may("SendMessage", Some("other")) && !some.may("ListQueues", None));
        assert_eq!(some.arn("000000000000"), "arn:aws:iam::000000000000:user/b");
        assert!(!format!("{credentials:?} {all:?}").contains("'s'"));
    }

    #[test]
    fn a_file_that_is_none_is_refused() {
        for text in [
            "",
            "key = 1",
            "[[key]]\nid = 'a'",
            "[[key]]\nid = ''\nsecret = 's'",
            "[[key]]\nid = 'a'\nsecret = 's'\nallows = []",
            "[[key]]\nid = 'a'\nsecret = 's'\nallow = [{ actions = ['Sendmessages'], queues = ['*'] }]",
            "[[key]]\nid = 'a'\nsecret = 's'\nallow = [{ actions = ['SendMessageBatch'], queues = ['*'] }]",
            "[[key]]\nid = 'a'\nsecret = 's'\n[[key]]\nid = 'a'\nsecret = 't'",
        ] {
            assert!(Credentials::parse(text).is_err(), "{text}");
        }
    }
}

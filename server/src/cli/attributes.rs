//! Group, ids and attributes of messages as they are given on the command line.

use std::str::FromStr;

use data_encoding::BASE64;
use forebay_protocol::{DataType, MessageAttribute, MessageAttributes};

use super::failure::Failure;

/// What travels with a message beside its body.
#[derive(Debug, Default, clap::Args)]
pub(super) struct AttributeArguments {
    /// The group that the message belongs to
    #[arg(long, value_name = "ID")]
    group: Option<String>,
    /// What a second copy of the message has too
    #[arg(long, value_name = "ID")]
    dedup: Option<String>,
    /// An attribute: NAME=TEXT, NAME:Number=5, NAME:Binary=BASE64, or NAME:Binary=@FILE for the bytes
    /// of a file. A type may have a label: NAME:Number.int=5. Up to ten times
    #[arg(long = "attr", value_name = "NAME[:TYPE]=VALUE")]
    attributes: Vec<Given>,
    /// The header that follows a request through systems (AWSTraceHeader)
    #[arg(long, value_name = "HEADER")]
    trace: Option<String>,
}

/// An attribute as it was given; no file was read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Given {
    name: String,
    data_type: String,
    value: String,
}

impl FromStr for Given {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Neither names nor types that there are have a `=` or `:` in them.
        let (typed, value) =
            text.split_once('=').ok_or("expected NAME=VALUE or NAME:TYPE=VALUE")?;
        let (name, data_type) = typed.split_once(':').unwrap_or((typed, "String"));
        Ok(Self { name: name.to_owned(), data_type: data_type.to_owned(), value: value.to_owned() })
    }
}

impl Given {
    fn read(&self) -> Result<MessageAttribute, Failure> {
        let Self { name, data_type, value } = self;
        let text = MessageAttribute::new(name, data_type, value.clone());
        if text.data_type() != Some(DataType::Binary) {
            return Ok(text);
        }
        let bytes = match value.strip_prefix('@') {
            Some(file) => std::fs::read(file).map_err(|error| Failure::io(file, &error))?,
            None => BASE64.decode(value.as_bytes()).map_err(|error| {
                Failure::Usage(format!(
                    "--attr {name}: expected base64, or @FILE for a file's bytes: {error}"
                ))
            })?,
        };
        Ok(MessageAttribute::new(name, data_type, bytes))
    }
}

impl AttributeArguments {
    /// The attributes, checked as the server will.
    pub(super) fn read(&self) -> Result<MessageAttributes, Failure> {
        let attributes = MessageAttributes {
            group: self.group.clone(),
            deduplication: self.dedup.clone(),
            trace: self.trace.clone(),
            attributes: self.attributes.iter().map(Given::read).collect::<Result<_, _>>()?,
        };
        attributes.check().map_err(|error| Failure::Usage(error.text))?;
        Ok(attributes)
    }
}

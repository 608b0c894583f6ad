//! Actions on queues: create, delete, find, list, purge; attributes; tags.

use data_encoding::BASE64;
use forebay_engine::attributes::{
    Attributes as EngineAttributes, FIFO_SUFFIX, QUEUE_NAME_BYTES_MAX,
};
use forebay_engine::command::{Command, LIST_QUEUES_MAX, Reply};
use forebay_engine::error::RequestError;

use super::address::queue_of_url;
use super::attribute_name::Name;
use super::endpoint::{Asked, Endpoint, unexpected};
use super::error::{Code, Result, SqsError};
use super::inputs::{self, required};
use super::outputs::{Attributes, Nothing, QueueUrl, Queues, SourceQueues, Tags};
use super::queue_attributes;

/// The longest key of a tag, in characters.
const TAG_KEY_CHARS_MAX: usize = 128;

/// The longest value of a tag, in characters.
const TAG_VALUE_CHARS_MAX: usize = 256;

/// The name of the queue that an action is about. Without a URL there is no such queue: the only
/// required parameter that AWS does not call missing.
pub(super) fn queue(url: Option<&String>) -> Result<String> {
    match url.filter(|url| !url.is_empty()) {
        Some(url) => Ok(queue_of_url(url)?.to_owned()),
        None => Err(SqsError::unknown_queue()),
    }
}

fn queue_name(given: Option<String>) -> Result<String> {
    let text = "Value for parameter QueueName is invalid. Reason: Must specify a queue name.";
    given.ok_or_else(|| SqsError::invalid(text))
}

pub(super) async fn create(
    endpoint: &Endpoint,
    asked: &Asked,
    input: inputs::CreateQueue,
) -> Result<QueueUrl> {
    let name = queue_name(input.queue_name)?;
    let given = input.attributes.unwrap_or_default();
    queue_attributes::check_type(&given)?;
    check_name(&name, queue_attributes::asks_fifo(&given))?;
    let url = QueueUrl { queue_url: endpoint.addresses.url(&asked.host, &name) };
    loop {
        if let Some(current) = endpoint.find(&name).await? {
            let different =
                queue_attributes::first_difference(&given, &current, &endpoint.addresses)?;
            return match different {
                None => Ok(url),
                Some(attribute) => {
                    let text = format!(
                        "A queue already exists with the same name and a different value for \
                         attribute {}",
                        attribute.as_str()
                    );
                    Err(SqsError::new(Code::QueueNameExists, text))
                }
            };
        }
        let default = EngineAttributes::default();
        let mut attributes =
            queue_attributes::changes(&given, &default, true, &endpoint.addresses)?;
        if endpoint.deleted.contains(&name, endpoint.clock.boot_ms()) {
            let text = "You must wait 60 seconds after deleting a queue before you can create \
                        another with the same name.";
            return Err(SqsError::new(Code::QueueDeletedRecently, text));
        }
        attributes.tags = input.tags.clone().filter(|tags| !tags.is_empty());
        let create = Command::CreateQueue { name: name.clone(), attributes: attributes.into() };
        match endpoint.ask(create).await {
            Ok(Reply::Created { .. }) => return Ok(url),
            // Somebody else has created it since: it is compared with what there is now.
            Err(RequestError::QueueExists { .. }) => {}
            Ok(_) => return Err(unexpected()),
            Err(error) => match tags_refused(&error, &name) {
                Some(error) => return Err(error),
                None => return Err(queue_attributes::refused(error, &given)),
            },
        }
    }
}

fn check_name(name: &str, is_fifo: bool) -> Result<()> {
    if name.is_empty() {
        return Err(SqsError::invalid("Queue name cannot be empty"));
    }
    let plain = if is_fifo { name.strip_suffix(FIFO_SUFFIX) } else { Some(name) };
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let is_good = plain.is_some_and(|plain| !plain.is_empty() && plain.bytes().all(is_allowed));
    match (is_good && name.len() <= QUEUE_NAME_BYTES_MAX, is_fifo) {
        (true, _) => Ok(()),
        (false, false) => Err(SqsError::invalid(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
        )),
        (false, true) => Err(SqsError::invalid(
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or \
             underscores, must end with .fifo suffix and be 1 to 80 in length.",
        )),
    }
}

pub(super) async fn delete(
    endpoint: &Endpoint,
    _: &Asked,
    input: inputs::DeleteQueue,
) -> Result<Nothing> {
    let name = queue(input.queue_url.as_ref())?;
    endpoint.ask(Command::DeleteQueue { name: name.clone() }).await?;
    endpoint.deleted.add(&name, endpoint.clock.boot_ms());
    endpoint.purged.remove(&name);
    Ok(Nothing)
}

pub(super) async fn get_url(
    endpoint: &Endpoint,
    asked: &Asked,
    input: inputs::GetQueueUrl,
) -> Result<QueueUrl> {
    let name = queue_name(input.queue_name)?;
    let owner = input.queue_owner_aws_account_id;
    if owner.is_some_and(|owner| owner != endpoint.addresses.account) {
        return Err(SqsError::queue_of_others());
    }
    endpoint.describe(&name).await?;
    Ok(QueueUrl { queue_url: endpoint.addresses.url(&asked.host, &name) })
}

pub(super) async fn list(
    endpoint: &Endpoint,
    asked: &Asked,
    input: inputs::ListQueues,
) -> Result<Queues> {
    let page = Page::new(input.max_results, input.next_token)?;
    let prefix = input.queue_name_prefix.unwrap_or_default();
    let (mut names, mut after, mut more) = (Vec::new(), page.after.clone(), true);
    // An answer of the engine may end before the page does: attributes come with it.
    while more && names.len() < page.max as usize {
        let max = page.max - names.len() as u32;
        let (prefix, asked_after) = (prefix.clone(), after.clone());
        let command = Command::ListQueues { prefix, after: asked_after, max };
        let Reply::Listed { queues, more: has_more } = endpoint.ask(command).await? else {
            return Err(unexpected());
        };
        more = has_more && !queues.is_empty();
        names.extend(queues.into_iter().map(|queue| queue.name));
        after = names.last().cloned().unwrap_or_default();
    }
    let next_token = page.next_token(&names, more);
    Ok(Queues { queue_urls: urls(endpoint, asked, &names), next_token })
}

pub(super) async fn list_dead_letter_sources(
    endpoint: &Endpoint,
    asked: &Asked,
    input: inputs::ListDeadLetterSourceQueues,
) -> Result<SourceQueues> {
    let name = queue(input.queue_url.as_ref())?;
    let page = Page::new(input.max_results, input.next_token)?;
    let (after, max) = (page.after.clone(), page.max);
    let command = Command::ListDeadLetterSources { name, after, max };
    let Reply::DeadLetterSources { names, more } = endpoint.ask(command).await? else {
        return Err(unexpected());
    };
    let next_token = page.next_token(&names, more);
    let queue_urls = urls(endpoint, asked, &names);
    Ok(SourceQueues { queue_urls, next_token })
}

fn urls(endpoint: &Endpoint, asked: &Asked, names: &[String]) -> Vec<String> {
    names.iter().map(|name| endpoint.addresses.url(&asked.host, name)).collect()
}

/// A page of a list of names.
struct Page {
    max: u32,
    after: String,
    /// Whether a size was given: else what is beyond the first page is not told.
    is_asked: bool,
}

impl Page {
    fn new(max_results: Option<i64>, next_token: Option<String>) -> Result<Self> {
        let max = max_results.unwrap_or(i64::from(LIST_QUEUES_MAX));
        if !(1..=i64::from(LIST_QUEUES_MAX)).contains(&max) {
            return Err(SqsError::invalid(format!(
                "Value for parameter MaxResults is invalid. Reason: MaxResults must be an integer between \
                 1 and {LIST_QUEUES_MAX}."
            )));
        }
        let after = match next_token.filter(|token| !token.is_empty()) {
            None => String::new(),
            Some(_) if max_results.is_none() => {
                return Err(SqsError::invalid(
                    "MaxResults is a mandatory parameter when you provide a value for NextToken.",
                ));
            }
            Some(token) => BASE64
                .decode(token.as_bytes())
                .ok()
                .and_then(|name| String::from_utf8(name).ok())
                .ok_or_else(|| SqsError::invalid("Invalid or expired next token."))?,
        };
        Ok(Self { max: max as u32, after, is_asked: max_results.is_some() })
    }

    fn next_token(&self, names: &[String], more: bool) -> Option<String> {
        let last = names.last().filter(|_| more && self.is_asked)?;
        Some(BASE64.encode(last.as_bytes()))
    }
}

pub(super) async fn purge(
    endpoint: &Endpoint,
    _: &Asked,
    input: inputs::PurgeQueue,
) -> Result<Nothing> {
    let name = queue(input.queue_url.as_ref())?;
    endpoint.describe(&name).await?;
    if !endpoint.purged.begin(&name, endpoint.clock.boot_ms()) {
        let text = format!("Only one PurgeQueue operation on {name} is allowed every 60 seconds.");
        return Err(SqsError::new(Code::PurgeQueueInProgress, text));
    }
    let purged = endpoint.ask(Command::PurgeQueue { name: name.clone() }).await;
    if purged.is_err() {
        endpoint.purged.remove(&name);
    }
    purged?;
    Ok(Nothing)
}

pub(super) async fn get_attributes(
    endpoint: &Endpoint,
    _: &Asked,
    input: inputs::GetQueueAttributes,
) -> Result<Attributes> {
    let name = queue(input.queue_url.as_ref())?;
    let mut wanted = Vec::new();
    for name in input.attribute_names.unwrap_or_default() {
        match &*name {
            "All" => wanted.extend(Name::ALL),
            name => wanted.push(Name::parse(name)?),
        }
    }
    let info = endpoint.describe(&name).await?;
    let read = |name: Name| queue_attributes::read(&info, name, &endpoint.addresses);
    let told = wanted.into_iter().filter_map(|name| Some((name.as_str().to_owned(), read(name)?)));
    Ok(Attributes { attributes: told.collect() })
}

pub(super) async fn set_attributes(
    endpoint: &Endpoint,
    _: &Asked,
    input: inputs::SetQueueAttributes,
) -> Result<Nothing> {
    let name = queue(input.queue_url.as_ref())?;
    // So AWS calls it in both protocols.
    let given = required(input.attributes.filter(|given| !given.is_empty()), "Attribute.Name")?;
    let _changing = endpoint.changing.lock().await;
    let current = endpoint.describe(&name).await?.attributes;
    let changes = queue_attributes::changes(&given, &current, false, &endpoint.addresses)?;
    let alter = Command::AlterQueue { name, attributes: changes.into() };
    endpoint.ask(alter).await.map_err(|error| queue_attributes::refused(error, &given))?;
    Ok(Nothing)
}

pub(super) async fn tag(
    endpoint: &Endpoint,
    _: &Asked,
    input: inputs::TagQueue,
) -> Result<Nothing> {
    let name = queue(input.queue_url.as_ref())?;
    let tags = required(input.tags.filter(|tags| !tags.is_empty()), "Tags")?;
    let tagged = endpoint.ask(Command::TagQueue { name: name.clone(), tags }).await;
    tagged.map_err(|error| tags_refused(&error, &name).unwrap_or_else(|| error.into()))?;
    Ok(Nothing)
}

/// What the engine refuses of tags, in the words of SQS where they are known.
fn tags_refused(error: &RequestError, queue: &str) -> Option<SqsError> {
    let RequestError::AttributeInvalid { attribute, value, expected } = error else { return None };
    let text = match *attribute {
        "tags" if value.ends_with(" tags") => format!("Too many tags added for queue {queue}."),
        "the key of a tag" if expected.ends_with("characters") => key_length(),
        "the value of a tag" if expected.ends_with("characters") => {
            format!("Tag values must be between 0 and {TAG_VALUE_CHARS_MAX} characters in length.")
        }
        _ => return None,
    };
    Some(SqsError::invalid(text))
}

fn key_length() -> String {
    format!("Tag keys must be between 1 and {TAG_KEY_CHARS_MAX} characters in length.")
}

pub(super) async fn untag(
    endpoint: &Endpoint,
    _: &Asked,
    input: inputs::UntagQueue,
) -> Result<Nothing> {
    let name = queue(input.queue_url.as_ref())?;
    let keys = required(input.tag_keys, "TagKeys")?;
    let is_key = |key: &String| (1..=TAG_KEY_CHARS_MAX).contains(&key.chars().count());
    if keys.is_empty() || !keys.iter().all(is_key) {
        return Err(SqsError::invalid(key_length()));
    }
    endpoint.ask(Command::UntagQueue { name, keys }).await?;
    Ok(Nothing)
}

pub(super) async fn list_tags(
    endpoint: &Endpoint,
    _: &Asked,
    input: inputs::ListQueueTags,
) -> Result<Tags> {
    let info = endpoint.describe(&queue(input.queue_url.as_ref())?).await?;
    Ok(Tags { tags: info.attributes.tags.clone() })
}

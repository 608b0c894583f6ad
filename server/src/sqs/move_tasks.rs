//! Message move tasks: the engine's redrives under the names of SQS.

use data_encoding::BASE64;
use forebay_engine::command::{
    Command, LIST_QUEUES_MAX, QueueInfo, RedriveInfo, RedriveState, Reply,
};
use forebay_engine::error::RequestError;
use forebay_engine::ids::RedriveId;
use forebay_protocol::MessageId;
use serde::{Deserialize, Serialize};

use super::endpoint::{Asked, Endpoint, unexpected};
use super::error::{Code, Result, SqsError};
use super::inputs::{self, required};
use super::outputs::{Task, TaskCancelled, TaskStarted, Tasks};

/// The fastest task, in messages a second.
const RATE_MAX: i64 = 500;

/// The most tasks of one answer.
const RESULTS_MAX: i64 = 10;

/// What a handle is the base64 of.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Handle {
    task_id: String,
    source_arn: String,
}

pub(super) async fn start(
    endpoint: &Endpoint,
    _: &Asked,
    input: inputs::StartMessageMoveTask,
) -> Result<TaskStarted> {
    let source_arn = required(input.source_arn, "SourceArn")?;
    let source = queue_of(endpoint, &source_arn, "SourceArn").await?;
    let queue = source.name;
    let of_sources =
        Command::ListDeadLetterSources { name: queue.clone(), after: String::new(), max: 1 };
    match endpoint.ask(of_sources).await? {
        Reply::DeadLetterSources { names, .. } if names.is_empty() => return Err(no_dead_letters()),
        Reply::DeadLetterSources { .. } => {}
        _ => return Err(unexpected()),
    }
    let destination = match &input.destination_arn {
        None => String::new(),
        Some(arn) if *arn == source_arn => {
            let text = "Source queue arn and destination queue arn cannot be the same.";
            return Err(SqsError::invalid(text));
        }
        Some(arn) => {
            let destination = queue_of(endpoint, arn, "DestinationArn").await?;
            if destination.attributes.fifo != source.attributes.fifo {
                return Err(other_type());
            }
            destination.name
        }
    };
    let rate = input.max_number_of_messages_per_second;
    if rate.is_some_and(|rate| !(1..=RATE_MAX).contains(&rate)) {
        return Err(SqsError::invalid(format!(
            "Value for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: You must enter a number \
             that's between 1 and {RATE_MAX}."
        )));
    }
    let rate = rate.unwrap_or(0).unsigned_abs();
    let start = Command::StartRedrive { queue, destination, rate };
    match endpoint.ask(start).await {
        Ok(Reply::RedriveStarted { redrive, .. }) => {
            Ok(TaskStarted { task_handle: handle(endpoint, redrive, source_arn) })
        }
        Ok(_) => Err(unexpected()),
        Err(error) => Err(refused(error)),
    }
}

/// The queues that have this one as their dead-letter queue; none, if it is not there.
pub(super) async fn sources(endpoint: &Endpoint, queue: &str) -> Result<Vec<String>> {
    let (mut sources, mut after) = (Vec::new(), String::new());
    loop {
        let name = queue.to_owned();
        let command = Command::ListDeadLetterSources { name, after, max: LIST_QUEUES_MAX };
        let (names, more) = match endpoint.ask(command).await {
            Ok(Reply::DeadLetterSources { names, more }) => (names, more),
            Ok(_) => return Err(unexpected()),
            Err(RequestError::UnknownQueue { .. }) => (Vec::new(), false),
            Err(error) => return Err(error.into()),
        };
        after = names.last().cloned().unwrap_or_default();
        sources.extend(names);
        if !more || after.is_empty() {
            return Ok(sources);
        }
    }
}

fn no_dead_letters() -> SqsError {
    SqsError::invalid("Source queue must be configured as a Dead Letter Queue.")
}

fn other_type() -> SqsError {
    SqsError::invalid("The source queue and destination queue must be of the same queue type.")
}

/// Why the engine has not started a task. The queues may be others by now than they were.
fn refused(error: RequestError) -> SqsError {
    match error {
        RequestError::NotDeadLetterQueue { .. } => no_dead_letters(),
        RequestError::RedriveRunning { .. } => SqsError::invalid(
            "There is already a task running. Only one active task is allowed for a source queue \
             arn at a given time.",
        ),
        RequestError::BadDestination { .. } => other_type(),
        RequestError::TooManyRedrives { max } => {
            let text = format!("Only {max} active tasks are allowed at a given time.");
            SqsError::new(Code::UnsupportedOperation, text)
        }
        error => error.into(),
    }
}

pub(super) async fn list(
    endpoint: &Endpoint,
    _: &Asked,
    input: inputs::ListMessageMoveTasks,
) -> Result<Tasks> {
    let source_arn = required(input.source_arn, "SourceArn")?;
    let max = input.max_results.unwrap_or(1);
    if !(1..=RESULTS_MAX).contains(&max) {
        let reason = format!("Must be between 1 and {RESULTS_MAX}, if provided.");
        return Err(SqsError::invalid_value(max, "MaxResults", reason));
    }
    let queue = queue_of(endpoint, &source_arn, "SourceArn").await?.name;
    let Reply::RedrivesListed { redrives } = endpoint.ask(Command::ListRedrives { queue }).await?
    else {
        return Err(unexpected());
    };
    let told = redrives.into_iter().take(max as usize);
    let results = told.map(|redrive| task(endpoint, redrive, &source_arn)).collect();
    Ok(Tasks { results })
}

pub(super) async fn cancel(
    endpoint: &Endpoint,
    _: &Asked,
    input: inputs::CancelMessageMoveTask,
) -> Result<TaskCancelled> {
    let text = required(input.task_handle, "TaskHandle")?;
    let Some(handle) = read_handle(&text) else {
        return Err(SqsError::invalid("Value for parameter TaskHandle is invalid."));
    };
    let queue = queue_of(endpoint, &handle.source_arn, "SourceArn").await?;
    let gone = || SqsError::new(Code::ResourceNotFoundException, "Task does not exist.");
    let id: MessageId = handle.task_id.parse().map_err(|_| gone())?;
    // The rights that were looked at are those to this queue: a handle may be made up.
    if id.queue_id() != queue.id.0 {
        return Err(gone());
    }
    let redrive = RedriveId(u64::from(id.queue_id()) << 32 | id.seq() & 0xffff_ffff);
    if task_id(endpoint, redrive) != handle.task_id {
        return Err(gone());
    }
    match endpoint.ask(Command::CancelRedrive { redrive }).await {
        Ok(Reply::RedriveCancelled { moved }) => {
            Ok(TaskCancelled { approximate_number_of_messages_moved: moved })
        }
        Ok(_) => Err(unexpected()),
        Err(RequestError::UnknownRedrive { .. }) => Err(gone()),
        Err(error) => Err(error.into()),
    }
}

/// The ARN in a task's handle, if it is one.
pub(super) fn source_arn(handle: Option<&str>) -> Option<String> {
    Some(read_handle(handle?)?.source_arn)
}

fn read_handle(text: &str) -> Option<Handle> {
    serde_json::from_slice(&BASE64.decode(text.as_bytes()).ok()?).ok()
}

/// The queue of an ARN, which must be there.
async fn queue_of(endpoint: &Endpoint, arn: &str, parameter: &str) -> Result<QueueInfo> {
    if !matches!(arn.split(':').collect::<Vec<_>>().as_slice(), ["arn", _, _, _, _, _]) {
        return Err(SqsError::invalid(format!(
            "You must use this format to specify the {parameter}: \
             arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
        )));
    }
    let gone = || {
        let text =
            format!("The resource that you specified for the {parameter} parameter doesn't exist.");
        SqsError::new(Code::ResourceNotFoundException, text)
    };
    let name = endpoint.addresses.queue_of_arn(arn).ok_or_else(gone)?;
    endpoint.find(name).await?.ok_or_else(gone)
}

/// A redrive's number in the form of a message's id: store, queue and count.
fn task_id(endpoint: &Endpoint, redrive: RedriveId) -> String {
    endpoint.message_id(redrive.queue().0, u64::from(redrive.count())).to_string()
}

fn handle(endpoint: &Endpoint, redrive: RedriveId, source_arn: String) -> String {
    let handle = Handle { task_id: task_id(endpoint, redrive), source_arn };
    BASE64.encode(&serde_json::to_vec(&handle).expect("texts can be written"))
}

fn task(endpoint: &Endpoint, redrive: RedriveInfo, source_arn: &str) -> Task {
    let is_running = redrive.state == RedriveState::Running;
    let failure_reason = failure_reason(&redrive);
    let status = match redrive.state {
        _ if failure_reason.is_some() => "FAILED",
        RedriveState::Running => "RUNNING",
        RedriveState::Completed => "COMPLETED",
        RedriveState::Cancelled => "CANCELLED",
        RedriveState::Failed => "FAILED",
    };
    Task {
        task_handle: is_running.then(|| handle(endpoint, redrive.redrive, source_arn.to_owned())),
        status: status.to_owned(),
        source_arn: source_arn.to_owned(),
        destination_arn: Some(redrive.destination)
            .filter(|name| !name.is_empty())
            .map(|name| endpoint.addresses.arn(&name)),
        max_number_of_messages_per_second: Some(redrive.rate).filter(|rate| *rate > 0),
        approximate_number_of_messages_moved: redrive.moved,
        approximate_number_of_messages_to_move: Some(redrive.to_move),
        failure_reason: failure_reason.map(str::to_owned),
        started_timestamp: redrive.started.0,
    }
}

/// Why a task failed, as a code of SQS: the engine says it in words. One that has left messages where they
/// are, because they came from no other queue, has failed too.
fn failure_reason(redrive: &RedriveInfo) -> Option<&'static str> {
    let has_left = redrive.reason.contains("came from no other queue");
    match redrive.state {
        RedriveState::Running | RedriveState::Cancelled => None,
        _ if has_left => Some("CouldNotDetermineMessageSource"),
        // Larger than the segments of this store are by now.
        _ if redrive.reason.contains("fit a segment") => {
            Some(Code::UnsupportedOperation.query_name())
        }
        RedriveState::Completed => None,
        RedriveState::Failed if redrive.reason.ends_with("does not exist") => {
            Some(Code::QueueDoesNotExist.query_name())
        }
        // It is of another type by now.
        RedriveState::Failed => Some(Code::UnsupportedOperation.query_name()),
    }
}

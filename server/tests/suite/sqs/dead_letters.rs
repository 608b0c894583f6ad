//! Without these, what a program does about poison would be lost on the way to another queue, or back.

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::wire::{BAD_ATTRIBUTE_VALUE, BEGIN_MS, INVALID, NOT_FOUND, Sqs};
use crate::support::within;

fn arn(name: &str) -> String {
    format!("arn:aws:sqs:us-east-1:000000000000:{name}")
}

fn policy(target: &str, count: Value) -> Value {
    let policy = json!({"deadLetterTargetArn": arn(target), "maxReceiveCount": count});
    json!({"RedrivePolicy": policy.to_string()})
}

#[tokio::test]
async fn a_redrive_policy_reads_back_with_a_number() {
    let sqs = Sqs::start().await;
    sqs.create("dead", json!({})).await;
    let expected = format!("{{\"deadLetterTargetArn\":\"{}\",\"maxReceiveCount\":5}}", arn("dead"));
    for (name, count) in [("a", json!(5)), ("b", json!("5"))] {
        let url = sqs.create(name, policy("dead", count.clone())).await;
        assert_eq!(sqs.attributes(&url).await["RedrivePolicy"], expected);
        assert_eq!(sqs.create(name, policy("dead", count)).await, url, "nothing differs");
    }
    let dead = json!({"QueueUrl": sqs.url("dead")});
    let sources = sqs.ask("ListDeadLetterSourceQueues", dead.clone()).await;
    assert_eq!(sources, json!({"queueUrls": [sqs.url("a"), sqs.url("b")]}));
    let xml = sqs.ask_xml("ListDeadLetterSourceQueues", dead.clone()).await;
    assert_eq!(xml, json!({"QueueUrl": [sqs.url("a"), sqs.url("b")]}));
    let mut page = dead;
    page["MaxResults"] = json!(1);
    let first = sqs.ask("ListDeadLetterSourceQueues", page.clone()).await;
    assert_eq!(first["queueUrls"], json!([sqs.url("a")]));
    page["NextToken"] = first["NextToken"].clone();
    let second = sqs.ask("ListDeadLetterSourceQueues", page).await;
    assert_eq!(second, json!({"queueUrls": [sqs.url("b")]}));
    let none = sqs.ask("ListDeadLetterSourceQueues", json!({"QueueUrl": sqs.url("a")})).await;
    assert_eq!(none, json!({}));
    let none = sqs.ask_xml("ListDeadLetterSourceQueues", json!({"QueueUrl": sqs.url("a")})).await;
    assert_eq!(none, "");
}

#[tokio::test]
async fn a_redrive_policy_that_cannot_be_is_refused() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    sqs.create("dead", json!({})).await;
    sqs.create("dead.fifo", json!({"FifoQueue": "true"})).await;
    sqs.create("closed", json!({"RedriveAllowPolicy": "{\"redrivePermission\":\"denyAll\"}"}))
        .await;
    let target = arn("dead");
    let mandatory =
        |name: &str| format!("Redrive policy does not contain mandatory attribute: {name}.");
    let count = |shown: &str| {
        format!(
            "Invalid value for maxReceiveCount: {shown}, valid values are from 1 to 1000 both \
             inclusive."
        )
    };
    let full = |target: &str, count: Value| {
        json!({"deadLetterTargetArn": target, "maxReceiveCount": count}).to_string()
    };
    for (text, reason) in [
        ("{}".to_owned(), mandatory("maxReceiveCount")),
        (json!({"maxReceiveCount": "1"}).to_string(), mandatory("deadLetterTargetArn")),
        (json!({"deadLetterTargetArn": target}).to_string(), mandatory("maxReceiveCount")),
        (full(&target, json!("many")), count("many")),
        (full(&target, json!(0)), count("0")),
        (full(&target, json!(1001)), count("1001")),
        (full(&arn("none"), json!(1)), "Dead letter target does not exist.".to_owned()),
        (full("dead", json!(1)), "Invalid value for deadLetterTargetArn.".to_owned()),
        (
            full("arn:aws:sns:us-east-1:000000000000:dead", json!(1)),
            "Only SQS queues are valid resources for deadLetterTargetArn.".to_owned(),
        ),
        (
            full("arn:aws:sqs:eu-west-1:000000000000:dead", json!(1)),
            "Dead-letter target must be in same region as the source.".to_owned(),
        ),
        (
            full("arn:aws:sqs:us-east-1:111111111111:dead", json!(1)),
            "Dead-letter target owner should be same as the source.".to_owned(),
        ),
        (
            full(&arn("dead.fifo"), json!(1)),
            "Dead-letter queue must be same type of queue as the source..".to_owned(),
        ),
        (
            full(&arn("closed"), json!(1)),
            "The dead-letter queue's redrive allow policy does not allow this source queue."
                .to_owned(),
        ),
    ] {
        let message =
            format!("Value {text} for parameter RedrivePolicy is invalid. Reason: {reason}");
        let members = json!({"QueueUrl": url, "Attributes": {"RedrivePolicy": text}});
        sqs.refuses("SetQueueAttributes", members, INVALID, &message).await;
        let members = json!({"QueueName": "r", "Attributes": {"RedrivePolicy": text}});
        sqs.refuses("CreateQueue", members, INVALID, &message).await;
    }
    let message = "Invalid value for the parameter RedrivePolicy. Reason: Redrive policy is not a valid \
                   JSON map.";
    for text in ["x", "[]", "5", " "] {
        let members = json!({"QueueUrl": url, "Attributes": {"RedrivePolicy": text}});
        sqs.refuses("SetQueueAttributes", members, BAD_ATTRIBUTE_VALUE, message).await;
    }
}

#[tokio::test]
async fn a_redrive_allow_policy_reads_back_as_it_was_set() {
    let sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let by_queue = json!({"redrivePermission": "byQueue", "sourceQueueArns": [arn("a"), arn("b")]});
    for policy in [
        json!({"redrivePermission": "allowAll"}),
        json!({"redrivePermission": "denyAll"}),
        by_queue,
    ] {
        let members =
            json!({"QueueUrl": url, "Attributes": {"RedriveAllowPolicy": policy.to_string()}});
        sqs.ask("SetQueueAttributes", members).await;
        let read = sqs.attributes(&url).await["RedriveAllowPolicy"].clone();
        assert_eq!(serde_json::from_str::<Value>(read.as_str().unwrap()).unwrap(), policy);
    }
    let members = json!({"QueueUrl": url, "Attributes": {"RedriveAllowPolicy": ""}});
    sqs.ask("SetQueueAttributes", members).await;
    assert_eq!(sqs.attributes(&url).await.get("RedriveAllowPolicy"), None);
    let arns = |count: u32| (0..count).map(|index| arn(&format!("q{index}"))).collect::<Vec<_>>();
    let needs = "When you specify the byQueue permission type, you must also specify one or more \
                 sourceQueueArns values.";
    for (policy, reason) in [
        (json!({"redrivePermission": "byQueue"}), needs),
        (json!({"redrivePermission": "byQueue", "sourceQueueArns": []}), needs),
        (
            json!({"redrivePermission": "byQueue", "sourceQueueArns": arns(11)}),
            "The maximum number of source queue ARNs you can specify is 10.",
        ),
        (
            json!({"redrivePermission": "denyAll", "sourceQueueArns": arns(1)}),
            "To specify one or more source queue ARNs, you must set redrivePermission to byQueue.",
        ),
    ] {
        let policy = policy.to_string();
        let message = format!(
            "Value {policy} for parameter RedriveAllowPolicy is invalid. Reason: Amazon SQS can't create the \
             redrive allow policy. {reason}"
        );
        let members = json!({"QueueUrl": url, "Attributes": {"RedriveAllowPolicy": policy}});
        sqs.refuses("SetQueueAttributes", members, INVALID, &message).await;
    }
    let message = "Invalid value for the parameter RedriveAllowPolicy. Reason: Amazon SQS can't create the \
                   redrive allow policy, as it\u{2019}s in an unsupported format.";
    for policy in [
        json!({"redrivePermission": "other"}),
        json!({"redrivePermission": "denyAll", "other": 1}),
        json!({"redrivePermission": "byQueue", "sourceQueueArns": "x"}),
        json!({}),
        json!([]),
    ] {
        let members =
            json!({"QueueUrl": url, "Attributes": {"RedriveAllowPolicy": policy.to_string()}});
        sqs.refuses("SetQueueAttributes", members, BAD_ATTRIBUTE_VALUE, message).await;
    }
    let ten = json!({"redrivePermission": "byQueue", "sourceQueueArns": arns(10)}).to_string();
    sqs.ask(
        "SetQueueAttributes",
        json!({"QueueUrl": url, "Attributes": {"RedriveAllowPolicy": ten}}),
    )
    .await;
}

/// A dead letter in the queue `dead`, sent to `q` with the id that is given back.
async fn dead_letter(sqs: &Sqs) -> Value {
    sqs.create("dead", json!({})).await;
    let url = sqs.create("q", policy("dead", json!(1))).await;
    let sent = sqs.send_body(&url, "poison").await;
    sqs.receive_one(&url, 0).await;
    assert!(sqs.receive(&url, 0).await.is_empty());
    sent["MessageId"].clone()
}

/// Waits, without the clock, for a message that is moved beside what is asked.
async fn moved(sqs: &Sqs, url: &str) -> Value {
    within("a move", async {
        loop {
            let mut received = sqs.receive(url, 0).await;
            if let Some(message) = received.pop() {
                return message;
            }
        }
    })
    .await
}

/// The newest move task of a queue when it has ended.
async fn ended(sqs: &Sqs, source: &Value) -> Value {
    within("the task's end", async {
        loop {
            let listed = sqs.ask("ListMessageMoveTasks", source.clone()).await;
            if listed["Results"][0]["Status"] != "RUNNING" {
                return listed["Results"][0].clone();
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_dead_letter_is_the_message_that_was_sent() {
    let sqs = Sqs::start().await;
    let id = dead_letter(&sqs).await;
    let letter = moved(&sqs, &sqs.url("dead")).await;
    assert_eq!((&letter["MessageId"], &letter["Body"]), (&id, &json!("poison")));
    let expected = json!({
        "ApproximateFirstReceiveTimestamp": BEGIN_MS.to_string(),
        "ApproximateReceiveCount": "2",
        "DeadLetterQueueSourceArn": arn("q"),
        "SenderId": "000000000000",
        "SentTimestamp": BEGIN_MS.to_string(),
    });
    assert_eq!(letter["Attributes"], expected);
}

#[tokio::test]
async fn a_dead_letter_of_a_fifo_queue_has_its_id_to_tell_copies_by() {
    let sqs = Sqs::start().await;
    let dead = sqs.create("dead.fifo", json!({"FifoQueue": "true"})).await;
    let mut attributes = policy("dead.fifo", json!(1));
    attributes["FifoQueue"] = json!("true");
    let url = sqs.create("q.fifo", attributes).await;
    let members = json!({
        "QueueUrl": url, "MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": "d",
    });
    let id = sqs.ask("SendMessage", members).await["MessageId"].clone();
    sqs.receive_one(&url, 0).await;
    assert!(sqs.receive(&url, 0).await.is_empty());
    let letter = moved(&sqs, &dead).await;
    assert_eq!((&letter["MessageId"], &letter["Attributes"]["MessageDeduplicationId"]), (&id, &id));
    assert_eq!(letter["Attributes"]["MessageGroupId"], "g");
}

#[tokio::test]
async fn a_dead_letter_is_there_when_the_receive_that_found_nothing_is_answered() {
    let sqs = Sqs::start().await;
    let dead = sqs.create("dead", json!({})).await;
    let url = sqs.create("q", policy("dead", json!(1))).await;
    for round in ["1", "2", "3", "4", "5"] {
        sqs.send_body(&url, round).await;
        sqs.receive_one(&url, 0).await;
        assert!(sqs.receive(&url, 0).await.is_empty());
        let letter = sqs.receive_one(&dead, 60).await;
        assert_eq!(letter["Body"], round);
    }
}

#[tokio::test]
async fn the_next_message_of_a_group_comes_with_the_receive_that_makes_the_one_before_a_dead_letter()
 {
    let sqs = Sqs::start().await;
    sqs.create("dead.fifo", json!({"FifoQueue": "true"})).await;
    let mut attributes = policy("dead.fifo", json!(1));
    attributes["FifoQueue"] = json!("true");
    let url = sqs.create("q.fifo", attributes).await;
    let bodies = ["1", "2", "3", "4", "5"];
    for body in bodies {
        let members = json!({
            "QueueUrl": url, "MessageBody": body, "MessageGroupId": "g",
            "MessageDeduplicationId": body,
        });
        sqs.ask("SendMessage", members).await;
    }
    for (round, body) in bodies.iter().enumerate() {
        let members = json!({
            "QueueUrl": url, "VisibilityTimeout": 0,
            "ReceiveRequestAttemptId": format!("attempt-{round}"),
        });
        let received = sqs.ask("ReceiveMessage", members).await;
        assert_eq!(received["Messages"][0]["Body"], *body, "{received}");
    }
    assert!(sqs.receive(&url, 0).await.is_empty());
}

#[tokio::test]
async fn a_move_task_brings_dead_letters_back_as_new_messages() {
    let sqs = Sqs::start().await;
    let id = dead_letter(&sqs).await;
    moved(&sqs, &sqs.url("dead")).await;
    let started = sqs.ask("StartMessageMoveTask", json!({"SourceArn": arn("dead")})).await;
    let handle = BASE64.decode(started["TaskHandle"].as_str().unwrap().as_bytes());
    let handle: Value = serde_json::from_slice(&handle.unwrap()).unwrap();
    assert_eq!(handle["sourceArn"], arn("dead"));
    assert_eq!(handle["taskId"].as_str().map(str::len), Some(36));
    let back = moved(&sqs, &sqs.url("q")).await;
    assert_ne!(back["MessageId"], id);
    assert_eq!(back["Attributes"]["ApproximateReceiveCount"], "1");
    assert_eq!(back["Attributes"].get("DeadLetterQueueSourceArn"), None);
    let list = json!({"SourceArn": arn("dead")});
    let task = ended(&sqs, &list).await;
    let expected = json!({
        "Status": "COMPLETED",
        "SourceArn": arn("dead"),
        "ApproximateNumberOfMessagesMoved": 1,
        "ApproximateNumberOfMessagesToMove": 1,
        "StartedTimestamp": BEGIN_MS,
    });
    assert_eq!(task, expected);
    let xml = sqs.ask_xml("ListMessageMoveTasks", list).await;
    assert_eq!(xml["ListMessageMoveTasksResultEntry"]["Status"], "COMPLETED");
    let cancel = json!({"TaskHandle": started["TaskHandle"]});
    sqs.refuses("CancelMessageMoveTask", cancel, NOT_FOUND, "Task does not exist.").await;
}

#[tokio::test]
async fn a_running_move_task_is_alone_and_can_be_cancelled() {
    let sqs = Sqs::start().await;
    dead_letter(&sqs).await;
    moved(&sqs, &sqs.url("dead")).await;
    sqs.create("elsewhere", json!({})).await;
    for body in ["1", "2", "3"] {
        sqs.send_body(&sqs.url("dead"), body).await;
    }
    let members = json!({
        "SourceArn": arn("dead"), "DestinationArn": arn("elsewhere"),
        "MaxNumberOfMessagesPerSecond": 1,
    });
    let started = sqs.ask("StartMessageMoveTask", members.clone()).await;
    let message = "There is already a task running. Only one active task is allowed for a source \
                   queue arn at a given time.";
    sqs.refuses("StartMessageMoveTask", members, INVALID, message).await;
    let listed = sqs.ask("ListMessageMoveTasks", json!({"SourceArn": arn("dead")})).await;
    let task = &listed["Results"][0];
    assert_eq!((&task["Status"], &task["TaskHandle"]), (&json!("RUNNING"), &started["TaskHandle"]));
    assert_eq!(task["DestinationArn"], arn("elsewhere"));
    assert_eq!(task["MaxNumberOfMessagesPerSecond"], 1);
    // Rights are looked at by the queue that a handle names: one that was made up names another queue's task.
    let handle = BASE64.decode(started["TaskHandle"].as_str().unwrap().as_bytes()).unwrap();
    let made_up = String::from_utf8(handle).unwrap().replace(&arn("dead"), &arn("elsewhere"));
    let cancel = json!({"TaskHandle": BASE64.encode(made_up.as_bytes())});
    sqs.refuses("CancelMessageMoveTask", cancel, NOT_FOUND, "Task does not exist.").await;
    let cancel = json!({"TaskHandle": started["TaskHandle"]});
    let cancelled = sqs.ask("CancelMessageMoveTask", cancel).await;
    assert!(cancelled["ApproximateNumberOfMessagesMoved"].as_u64().unwrap() < 4, "{cancelled}");
    let listed = sqs.ask("ListMessageMoveTasks", json!({"SourceArn": arn("dead")})).await;
    assert_eq!(listed["Results"][0]["Status"], "CANCELLED");
}

#[tokio::test]
async fn a_move_task_that_finds_no_way_says_why() {
    let sqs = Sqs::start().await;
    dead_letter(&sqs).await;
    moved(&sqs, &sqs.url("dead")).await;
    let source = json!({"SourceArn": arn("dead")});
    // Another queue keeps it a dead-letter queue when the message's own is gone.
    sqs.create("other", policy("dead", json!(1))).await;
    sqs.ask("DeleteQueue", json!({"QueueUrl": sqs.url("q")})).await;
    sqs.ask("StartMessageMoveTask", source.clone()).await;
    let failed = ended(&sqs, &source).await;
    assert_eq!(failed["Status"], "FAILED");
    assert_eq!(failed["FailureReason"], "AWS.SimpleQueueService.NonExistentQueue");
    // One that left messages which came from no other queue has failed too.
    sqs.ask("PurgeQueue", json!({"QueueUrl": sqs.url("dead")})).await;
    sqs.send_body(&sqs.url("dead"), "from nowhere").await;
    sqs.ask("StartMessageMoveTask", source.clone()).await;
    let failed = ended(&sqs, &source).await;
    assert_eq!(failed["FailureReason"], "CouldNotDetermineMessageSource");
    assert_eq!((&failed["Status"], failed.get("TaskHandle")), (&json!("FAILED"), None));
    sqs.create("other.fifo", json!({"FifoQueue": "true"})).await;
    let format = |parameter: &str| {
        format!(
            "You must use this format to specify the {parameter}: \
             arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
        )
    };
    for (destination, message) in [
        (arn("dead"), "Source queue arn and destination queue arn cannot be the same."),
        (
            arn("other.fifo"),
            "The source queue and destination queue must be of the same queue type.",
        ),
        ("other".to_owned(), &format("DestinationArn")),
        (String::new(), &format("DestinationArn")),
    ] {
        let members = json!({"SourceArn": source["SourceArn"], "DestinationArn": destination});
        sqs.refuses("StartMessageMoveTask", members, INVALID, message).await;
    }
    for action in ["StartMessageMoveTask", "ListMessageMoveTasks"] {
        for bad in ["", "dead"] {
            let members = json!({"SourceArn": bad});
            sqs.refuses(action, members, INVALID, &format("SourceArn")).await;
        }
    }
    let none = sqs.ask("ListMessageMoveTasks", json!({"SourceArn": arn("other")})).await;
    assert_eq!(none, json!({}));
    let message = "The resource that you specified for the SourceArn parameter doesn't exist.";
    for action in ["StartMessageMoveTask", "ListMessageMoveTasks"] {
        let members = json!({"SourceArn": arn("none")});
        sqs.refuses(action, members, NOT_FOUND, message).await;
    }
    let members = json!({"SourceArn": arn("dead"), "DestinationArn": arn("none")});
    let message = "The resource that you specified for the DestinationArn parameter doesn't exist.";
    sqs.refuses("StartMessageMoveTask", members, NOT_FOUND, message).await;
    // Whatever else is wrong.
    let members = json!({
        "SourceArn": arn("other"), "DestinationArn": arn("none"), "MaxNumberOfMessagesPerSecond": 0,
    });
    let message = "Source queue must be configured as a Dead Letter Queue.";
    sqs.refuses("StartMessageMoveTask", members, INVALID, message).await;
    let message = "Value for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: You must enter a \
                   number that's between 1 and 500.";
    for rate in [-1, 0, 501] {
        let members = json!({"SourceArn": arn("dead"), "MaxNumberOfMessagesPerSecond": rate});
        sqs.refuses("StartMessageMoveTask", members, INVALID, message).await;
    }
    let members = json!({"SourceArn": arn("dead"), "MaxResults": 11});
    let message = "Value 11 for parameter MaxResults is invalid. Reason: Must be between 1 and 10, if \
                   provided.";
    sqs.refuses("ListMessageMoveTasks", members, INVALID, message).await;
    for handle in ["foobar", "e30="] {
        let members = json!({"TaskHandle": handle});
        let message = "Value for parameter TaskHandle is invalid.";
        sqs.refuses("CancelMessageMoveTask", members, INVALID, message).await;
    }
}

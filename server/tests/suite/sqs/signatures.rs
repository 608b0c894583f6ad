//! Without these, whoever reaches the server could do what a key's holder alone may, or a request be made
//! another one on its way.
//!
//! The signed requests below were made with botocore 1.44.8, for the moment at which the clock begins.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use forebay::Limits;
use forebay::sqs::{Config, Credentials};
use forebay_engine::SimClock;
use forebay_protocol::{QueueAttributes, TextMap};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::wire::{BEGIN_MS, Outcome, Sqs};

const KEYS: &str = "
    [[key]]
    id = 'AKIDEXAMPLE'
    secret = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'
    [[key]]
    id = 'AKIDTEMPORARY'
    secret = 'secret'
    session-token = 'a/session+token=='
    [[key]]
    id = 'AKIDSENDER'
    secret = 'sender'
    user = 'sender'
    allow = [{ actions = ['SendMessage'], queues = ['orders*'] }]
    [[key]]
    id = 'AKIDFOREIGN'
    secret = 'foreign'
    account = '111111111111'
";

/// The time in the requests.
const TIME: &str = "20231114T221320Z";

const BODY: &str = r#"{"QueueUrl": "q", "MessageBody": "signed"}"#;

const PLAIN: &str = "X-Amz-Target: AmazonSQS.SendMessage\r\n\
    Content-Type: application/x-amz-json-1.0\r\nX-Amz-Date: 20231114T221320Z\r\n\
    Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20231114/us-east-1/sqs/aws4_request, \
    SignedHeaders=content-type;host;x-amz-date;x-amz-target, \
    Signature=4dc370421b60658faaf8df82e1cd235caef4efdc5673ad531cce6dd2be0e5fd9";

const TOKEN: &str = "X-Amz-Target: AmazonSQS.SendMessage\r\n\
    Content-Type: application/x-amz-json-1.0\r\nX-Amz-Date: 20231114T221320Z\r\n\
    X-Amz-Security-Token: a/session+token==\r\n\
    Authorization: AWS4-HMAC-SHA256 Credential=AKIDTEMPORARY/20231114/us-east-1/sqs/aws4_request, \
    SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, \
    Signature=5fed703ae911a8041c853086cb41b9e587814d1704a23e901ac2254b840c34ac";

const URL: &str = "/000000000000/q?Action=SendMessage&MessageBody=a%20b%2Bc%2F~%25\
    &X-Amz-Algorithm=AWS4-HMAC-SHA256\
    &X-Amz-Credential=AKIDEXAMPLE%2F20231114%2Fus-east-1%2Fsqs%2Faws4_request\
    &X-Amz-Date=20231114T221320Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host\
    &X-Amz-Signature=57781671388a716a73a1e465c62a800fd25bc76342d2829f5716fb24df614203";

const URL_TOKEN: &str = "/000000000000/q?Action=SendMessage&MessageBody=a%20b%2Bc%2F~%25\
    &X-Amz-Algorithm=AWS4-HMAC-SHA256\
    &X-Amz-Credential=AKIDTEMPORARY%2F20231114%2Fus-east-1%2Fsqs%2Faws4_request\
    &X-Amz-Date=20231114T221320Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host\
    &X-Amz-Security-Token=a%2Fsession%2Btoken%3D%3D\
    &X-Amz-Signature=1bdc96c11be722b708e4e9b109d08e5de2c4ad0292f90e45fdb24773b56659ff";

/// Ten names: by their text the tenth would be the first.
const URL_NAMES: &str = "/000000000000/q?Action=GetQueueAttributes\
    &AttributeName.1=ApproximateNumberOfMessages\
    &AttributeName.2=ApproximateNumberOfMessagesDelayed\
    &AttributeName.3=ApproximateNumberOfMessagesNotVisible&AttributeName.4=CreatedTimestamp\
    &AttributeName.5=DelaySeconds&AttributeName.6=LastModifiedTimestamp\
    &AttributeName.7=MaximumMessageSize&AttributeName.8=MessageRetentionPeriod\
    &AttributeName.9=QueueArn&AttributeName.10=VisibilityTimeout\
    &X-Amz-Algorithm=AWS4-HMAC-SHA256\
    &X-Amz-Credential=AKIDEXAMPLE%2F20231114%2Fus-east-1%2Fsqs%2Faws4_request\
    &X-Amz-Date=20231114T221320Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host\
    &X-Amz-Signature=5a58945f026899ca739a515ad96ae5e732edfacebd1db5aad0371ffe91d693d7";

/// A path that says more than it must, signed without that.
const URL_DOTS: &str = "//000000000000/./x/../q/?Action=SendMessage&MessageBody=x\
    &X-Amz-Algorithm=AWS4-HMAC-SHA256\
    &X-Amz-Credential=AKIDEXAMPLE%2F20231114%2Fus-east-1%2Fsqs%2Faws4_request\
    &X-Amz-Date=20231114T221320Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host\
    &X-Amz-Signature=61d521be045438269fbbf5039d2dcb1239307f806952478b1ef3ec3c343da54a";

/// The signature of the same path as it is.
const DOTS_AS_THEY_ARE: &str = "5b27d2c37fe0e2411b7221d2376e2f51eecdea3b03ba1aeeb9544a2bcb4f6a87";

/// A server that knows the keys, with a queue `q`.
async fn locked() -> Sqs {
    let clock = SimClock::new(BEGIN_MS);
    let config = Config::default()
        .with_credentials(Credentials::parse(KEYS).unwrap())
        .with_clock(Arc::new(clock.clone()));
    let sqs = Sqs::start_at(clock, config, Limits::default()).await;
    sqs.client().await.create_queue("q", Default::default()).await.unwrap();
    sqs
}

async fn post(sqs: &Sqs, headers: &str, body: &str) -> Outcome {
    let length = body.len();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: queues.example\r\n{headers}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    sqs.send(request.as_bytes()).await
}

async fn get(sqs: &Sqs, path: &str) -> Outcome {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: queues.example\r\nConnection: close\r\n\r\n");
    sqs.send(request.as_bytes()).await
}

async fn stored(sqs: &Sqs) -> u64 {
    sqs.client().await.describe_queue("q").await.unwrap().waiting
}

#[track_caller]
fn assert_refused(outcome: &Outcome, status: u16, code: &str) {
    let told = match outcome.header("x-amzn-query-error") {
        Some(told) => told.to_owned(),
        None => {
            let error = &outcome.xml()["ErrorResponse"]["Error"];
            let text = |member: &str| error[member].as_str().unwrap_or_default().to_owned();
            format!("{};{}", text("Code"), text("Type"))
        }
    };
    assert_eq!((outcome.status, told), (status, format!("{code};Sender")), "{outcome:?}");
}

#[tokio::test]
async fn what_is_signed_with_a_known_key_is_done() {
    let sqs = locked().await;
    for headers in [PLAIN, TOKEN] {
        let sent = post(&sqs, headers, BODY).await;
        assert_eq!(sent.status, 200, "{sent:?}");
    }
    for path in [URL, URL_TOKEN] {
        let sent = get(&sqs, path).await;
        assert_eq!(sent.status, 200, "{sent:?}");
    }
    assert_eq!(stored(&sqs).await, 4);
}

#[tokio::test]
async fn a_request_that_is_not_what_was_signed_is_refused_and_nothing_is_stored() {
    let sqs = locked().await;
    let mismatch = "SignatureDoesNotMatch";
    assert_refused(&post(&sqs, PLAIN, &BODY.replace("signed", "swapped")).await, 403, mismatch);
    for (from, to) in [
        ("4dc370421b", "4dc370421c"),
        ("Signature=4dc3", "Signature=4d"),
        ("x-amz-json-1.0", "x-amz-json-1.1"),
        ("us-east-1", "eu-west-1"),
        ("/sqs/", "/sns/"),
        ("20231114/us", "20231113/us"),
        ("aws4_request", "aws3_request"),
        // Another action, and one that was not signed at all.
        ("AmazonSQS.SendMessage", "AmazonSQS.PurgeQueue"),
        (";x-amz-target", ""),
        ("content-type;host;", "content-type;"),
        ("X-Amz-Date", "X-Amz-Content-Sha256: 00\r\nX-Amz-Date"),
    ] {
        let headers = PLAIN.replace(from, to);
        assert_ne!(headers, PLAIN);
        assert_refused(&post(&sqs, &headers, BODY).await, 403, mismatch);
    }
    for (from, to) in [
        ("MessageBody=a", "MessageBody=b"),
        // A plus sign that is written as it is means a space.
        ("b%2Bc", "b+c"),
        ("/q?", "/r?"),
        ("Expires=60", "Expires=61"),
        ("Signature=5778", "Signature=5779"),
    ] {
        let path = URL.replace(from, to);
        assert_ne!(path, URL);
        assert_refused(&get(&sqs, &path).await, 403, mismatch);
    }
    let refused = post(&sqs, &PLAIN.replace("4dc370421b", "4dc370421c"), BODY).await;
    let message = "The request signature we calculated does not match the signature you provided. \
                   Check your AWS Secret Access Key and signing method. Consult the service \
                   documentation for details.";
    let name = "com.amazon.coral.service#InvalidSignatureException";
    assert_eq!(refused.json(), json!({"__type": name, "message": message}));
    assert_eq!(stored(&sqs).await, 0);
}

#[tokio::test]
async fn parameters_are_signed_in_the_order_of_their_names() {
    let sqs = locked().await;
    let told = get(&sqs, URL_NAMES).await;
    assert_eq!(told.status, 200, "{told:?}");
    let result = &told.xml()["GetQueueAttributesResponse"]["GetQueueAttributesResult"];
    assert_eq!(result["Attribute"].as_array().map(Vec::len), Some(10));
    // Whatever order they come in.
    let (first, tenth) = ("AttributeName.1=Approx", "AttributeName.10=Vis");
    let swapped = URL_NAMES.replace("&AttributeName.10=VisibilityTimeout", "");
    let swapped = swapped.replace(first, &format!("{tenth}ibilityTimeout&{first}"));
    assert_eq!(get(&sqs, &swapped).await.status, 200);
    let renamed = URL_NAMES.replace(tenth, "AttributeName.11=Vis");
    assert_refused(&get(&sqs, &renamed).await, 403, "SignatureDoesNotMatch");
}

#[tokio::test]
async fn a_path_is_signed_as_it_is_or_without_empty_segments_and_dots() {
    let sqs = locked().await;
    let (path, signature) = URL_DOTS.rsplit_once('=').unwrap();
    for signature in [signature, DOTS_AS_THEY_ARE] {
        let sent = get(&sqs, &format!("{path}={signature}")).await;
        assert_eq!(sent.status, 200, "{sent:?}");
    }
    assert_eq!(stored(&sqs).await, 2);
    for (from, to) in [("x/..", "x/y/.."), ("/q/", "/q"), ("/q/", "/r/")] {
        let path = URL_DOTS.replace(from, to);
        assert_ne!(path, URL_DOTS);
        assert_refused(&get(&sqs, &path).await, 403, "SignatureDoesNotMatch");
    }
    assert_eq!(stored(&sqs).await, 2);
}

#[tokio::test]
async fn a_request_counts_for_a_quarter_of_an_hour() {
    let sqs = locked().await;
    sqs.clock.set_wall(BEGIN_MS + 15 * 60_000);
    assert_eq!(post(&sqs, PLAIN, BODY).await.status, 200);
    sqs.clock.set_wall(BEGIN_MS + 15 * 60_000 + 1_000);
    let refused = post(&sqs, PLAIN, BODY).await;
    assert_refused(&refused, 403, "SignatureDoesNotMatch");
    let message = "Signature expired: 20231114T221320Z is now earlier than 20231114T221321Z \
                   (20231114T222821Z - 15 min.)";
    assert_eq!(refused.json()["message"], message);
    sqs.clock.set_wall(BEGIN_MS - 15 * 60_000);
    assert_eq!(post(&sqs, PLAIN, BODY).await.status, 200);
    sqs.clock.set_wall(BEGIN_MS - 15 * 60_000 - 1_000);
    let refused = post(&sqs, PLAIN, BODY).await;
    let message = "Signature not yet current: 20231114T221320Z is still later than \
                   20231114T221319Z (20231114T215819Z + 15 min.)";
    assert_eq!(refused.json()["message"], message);
    sqs.clock.set_wall(BEGIN_MS + 60_000);
    assert_eq!(get(&sqs, URL).await.status, 200);
    sqs.clock.set_wall(BEGIN_MS + 61_000);
    assert_refused(&get(&sqs, URL).await, 400, "RequestExpired");
    assert_eq!(stored(&sqs).await, 3);
}

#[tokio::test]
async fn who_is_not_known_is_told_so() {
    let sqs = locked().await;
    let target = "X-Amz-Target: AmazonSQS.SendMessage";
    let refused = post(&sqs, target, BODY).await;
    assert_refused(&refused, 403, "AccessDenied");
    let message = "Access to the resource http://queues.example/ is denied.";
    assert_eq!(refused.json()["message"], message);
    let open = get(&sqs, "/000000000000/q?Action=SendMessage&MessageBody=x").await;
    assert_refused(&open, 403, "AccessDenied");
    let unknown = PLAIN.replace("AKIDEXAMPLE", "AKIDNOBODY");
    let refused = post(&sqs, &unknown, BODY).await;
    assert_refused(&refused, 403, "InvalidClientTokenId");
    let message = "The security token included in the request is invalid.";
    assert_eq!(refused.json()["message"], message);
    // A temporary key without its token, with another, and a token with a key that has none.
    for (headers, from, to) in [
        (TOKEN, "X-Amz-Security-Token: a/session+token==\r\n", ""),
        (TOKEN, "X-Amz-Security-Token: a", "X-Amz-Security-Token: b"),
        (PLAIN, "X-Amz-Date", "X-Amz-Security-Token: a\r\nX-Amz-Date"),
    ] {
        let refused = post(&sqs, &headers.replace(from, to), BODY).await;
        assert_refused(&refused, 403, "InvalidClientTokenId");
    }
    for (from, to) in [
        ("Signature=", "Nothing="),
        ("SignedHeaders=", "Nothing="),
        ("Credential=", "Nothing="),
        ("X-Amz-Date: 20231114T221320Z\r\n", ""),
        ("X-Amz-Date: 20231114T221320Z", "X-Amz-Date: today"),
        ("AWS4-HMAC-SHA256", "Basic"),
        ("/aws4_request", ""),
    ] {
        let refused = post(&sqs, &PLAIN.replace(from, to), BODY).await;
        assert_refused(&refused, 400, "IncompleteSignature");
    }
    // All that is missing is told at once.
    let without =
        PLAIN.replace("X-Amz-Date: 20231114T221320Z\r\n", "").replace("Credential=", "Nothing=");
    let refused = post(&sqs, &without, BODY).await.json();
    let message = "Authorization header requires 'Credential' parameter. Authorization header \
                   requires existence of either a 'X-Amz-Date' or a 'Date' header. \
                   (Hashed with SHA-256 and encoded with Base64) Authorization=";
    assert!(refused["message"].as_str().unwrap().starts_with(message), "{refused}");
    let without = URL.replace("X-Amz-Credential", "Nothing").replace("X-Amz-Date", "Nobody");
    let refused = get(&sqs, &without).await;
    assert_refused(&refused, 400, "IncompleteSignature");
    let message = "AWS query-string parameters must include 'X-Amz-Credential'. AWS query-string \
                   parameters must include 'X-Amz-Date'. Re-examine the query-string parameters.";
    assert_eq!(refused.xml()["ErrorResponse"]["Error"]["Message"], message);
    assert_eq!(stored(&sqs).await, 0);
}

/// A request of the JSON protocol, signed at the time when the clock begins.
async fn signed(sqs: &Sqs, key: (&str, &str), action: &str, members: Value) -> Outcome {
    signed_by(sqs, key, ("X-Amz-Date", TIME), action, members).await
}

/// With the time in this header.
async fn signed_by(
    sqs: &Sqs,
    key: (&str, &str),
    (header, time): (&str, &str),
    action: &str,
    members: Value,
) -> Outcome {
    let (id, secret) = key;
    let body = members.to_string();
    let hash = |text: &str| HEXLOWER.encode(&Sha256::digest(text.as_bytes()));
    let date = &TIME[..8];
    let mut signed = [
        ("host".to_owned(), "queues.example".to_owned()),
        (header.to_ascii_lowercase(), time.to_owned()),
        ("x-amz-target".to_owned(), format!("AmazonSQS.{action}")),
    ];
    signed.sort();
    let names = signed.each_ref().map(|(name, _)| name.as_str()).join(";");
    let lines = signed.map(|(name, value)| format!("{name}:{value}\n")).concat();
    let canonical = format!("POST\n/\n\n{lines}\n{names}\n{}", hash(&body));
    let scope = format!("{date}/us-east-1/sqs/aws4_request");
    let to_sign = format!("AWS4-HMAC-SHA256\n{TIME}\n{scope}\n{}", hash(&canonical));
    let keyed = |key: &[u8], text: &str| {
        let mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.chain_update(text.as_bytes()).finalize().into_bytes().to_vec()
    };
    let mut signing = format!("AWS4{secret}").into_bytes();
    for part in scope.split('/') {
        signing = keyed(&signing, part);
    }
    let signature = HEXLOWER.encode(&keyed(&signing, &to_sign));
    let headers = format!(
        "X-Amz-Target: AmazonSQS.{action}\r\n{header}: {time}\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
    );
    post(sqs, &headers, &body).await
}

const OWNER: (&str, &str) = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
const SENDER: (&str, &str) = ("AKIDSENDER", "sender");
const FOREIGN: (&str, &str) = ("AKIDFOREIGN", "foreign");

#[tokio::test]
async fn the_time_may_be_in_the_header_date() {
    let sqs = locked().await;
    const HTTP_TIME: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    let send = async |header: &str, time: &str| {
        let members = json!({"QueueUrl": "q", "MessageBody": "x"});
        signed_by(&sqs, OWNER, (header, time), "SendMessage", members).await
    };
    for time in [HTTP_TIME, TIME] {
        let sent = send("Date", time).await;
        assert_eq!(sent.status, 200, "{sent:?}");
    }
    // Where there is X-Amz-Date, Date says nothing.
    let dated = PLAIN.replace("X-Amz-Date:", "Date: Mon, 01 Jan 2001 00:00:00 GMT\r\nX-Amz-Date:");
    assert_eq!(post(&sqs, &dated, BODY).await.status, 200);
    assert_eq!(stored(&sqs).await, 3);
    for (header, time, status, code) in [
        // Another time than was signed for, none, and one that is not signed itself.
        ("Date", "Tue, 14 Nov 2023 22:13:21 GMT", 403, "SignatureDoesNotMatch"),
        ("Date", "Wed, 15 Nov 2023 22:13:20 GMT", 403, "SignatureDoesNotMatch"),
        ("Date", "today", 400, "IncompleteSignature"),
        ("X-Amz-Date", HTTP_TIME, 400, "IncompleteSignature"),
        ("X-Date", HTTP_TIME, 400, "IncompleteSignature"),
    ] {
        assert_refused(&send(header, time).await, status, code);
    }
    let unsigned = PLAIN.replace("X-Amz-Date:", "Date:").replace("x-amz-date;", "");
    let refused = post(&sqs, &unsigned, BODY).await;
    assert_refused(&refused, 403, "SignatureDoesNotMatch");
    assert_eq!(refused.json()["message"], "'date' must be a 'SignedHeader' in the request.");
    // It counts for as long as the other.
    sqs.clock.set_wall(BEGIN_MS + 15 * 60_000);
    assert_eq!(send("Date", HTTP_TIME).await.status, 200);
    sqs.clock.set_wall(BEGIN_MS + 15 * 60_000 + 1_000);
    assert_refused(&send("Date", HTTP_TIME).await, 403, "SignatureDoesNotMatch");
    assert_eq!(stored(&sqs).await, 4);
}

#[tokio::test]
async fn a_key_does_what_it_may_and_nothing_else() {
    let sqs = locked().await;
    let created = signed(&sqs, OWNER, "CreateQueue", json!({"QueueName": "orders-1"})).await;
    assert_eq!(created.status, 200, "{created:?}");
    let orders = json!({"QueueUrl": "orders-1", "MessageBody": "x"});
    assert_eq!(signed(&sqs, SENDER, "SendMessage", orders).await.status, 200);
    let entries = json!([{"Id": "a", "MessageBody": "x"}]);
    let batch = json!({"QueueUrl": "orders-1", "Entries": entries});
    assert_eq!(signed(&sqs, SENDER, "SendMessageBatch", batch).await.status, 200);
    for (action, members) in [
        ("ReceiveMessage", json!({"QueueUrl": "orders-1"})),
        ("SendMessage", json!({"QueueUrl": "q", "MessageBody": "x"})),
        ("DeleteQueue", json!({"QueueUrl": "orders-1"})),
        ("CreateQueue", json!({"QueueName": "orders-2"})),
        ("ListQueues", json!({})),
        ("StartMessageMoveTask", json!({"SourceArn": "arn:aws:sqs:us-east-1:000000000000:q"})),
    ] {
        assert_refused(&signed(&sqs, SENDER, action, members).await, 403, "AccessDenied");
    }
    let refused = signed(&sqs, SENDER, "ReceiveMessage", json!({"QueueUrl": "q"})).await;
    let message = "User: arn:aws:iam::000000000000:user/sender is not authorized to perform: \
                   sqs:receivemessage on resource: arn:aws:sqs:us-east-1:000000000000:q because no \
                   identity-based policy allows the sqs:receivemessage action";
    let name = "com.amazon.coral.service#AccessDeniedException";
    assert_eq!(refused.json(), json!({"__type": name, "message": message}));
    assert_eq!(stored(&sqs).await, 0);
}

#[tokio::test]
async fn a_policy_lets_other_accounts_in_and_keeps_out_whom_it_denies() {
    let sqs = locked().await;
    let send = || json!({"QueueUrl": "q", "MessageBody": "x"});
    let why = async |key: (&str, &str), why: &str| {
        let refused = signed(&sqs, key, "SendMessage", send()).await;
        assert_refused(&refused, 403, "AccessDenied");
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(message.ends_with(&format!(":q {why}")), "{message}");
    };
    why(FOREIGN, "because no resource-based policy allows the sqs:sendmessage action").await;
    let permit = json!({
        "QueueUrl": "q", "Label": "l", "AWSAccountIds": ["111111111111"],
        "Actions": ["SendMessage"],
    });
    assert_eq!(signed(&sqs, OWNER, "AddPermission", permit).await.status, 200);
    assert_eq!(signed(&sqs, FOREIGN, "SendMessage", send()).await.status, 200);
    let receive = json!({"QueueUrl": "q"});
    assert_refused(&signed(&sqs, FOREIGN, "ReceiveMessage", receive).await, 403, "AccessDenied");
    let deny = json!({"Statement": [
        {"Effect": "Deny", "Principal": "*", "Action": "SQS:SendMessage", "Resource": "*"},
    ]});
    let set = json!({"QueueUrl": "q", "Attributes": {"Policy": deny.to_string()}});
    assert_eq!(signed(&sqs, OWNER, "SetQueueAttributes", set).await.status, 200);
    for key in [OWNER, FOREIGN] {
        why(key, "with an explicit deny in a resource-based policy").await;
    }
    let remove = json!({"QueueUrl": "q", "Label": "none"});
    assert_refused(
        &signed(&sqs, OWNER, "RemovePermission", remove).await,
        400,
        "InvalidParameterValue",
    );
    assert_eq!(stored(&sqs).await, 1);
}

#[tokio::test]
async fn an_own_account_that_a_policy_allows_something_leaves_it_to_the_rights_of_its_keys() {
    let sqs = locked().await;
    let status = async |key: (&str, &str)| {
        signed(&sqs, key, "ReceiveMessage", json!({"QueueUrl": "q"})).await.status
    };
    let permit = json!({
        "QueueUrl": "q", "Label": "own", "AWSAccountIds": ["000000000000"], "Actions": ["*"],
    });
    assert_eq!(signed(&sqs, OWNER, "AddPermission", permit).await.status, 200);
    assert_eq!((status(OWNER).await, status(SENDER).await), (200, 403));
    let account = || json!({"AWS": "000000000000"});
    let user = || json!({"AWS": "arn:aws:iam::000000000000:user/sender"});
    for (effect, member, principal, owner, sender) in [
        ("Allow", "Principal", account(), 200, 403),
        ("Allow", "Principal", json!({"AWS": "arn:aws:iam::000000000000:root"}), 200, 403),
        ("Allow", "Principal", user(), 200, 200),
        ("Allow", "Principal", json!("*"), 200, 200),
        // All but the account.
        ("Allow", "NotPrincipal", account(), 200, 403),
        ("Deny", "Principal", account(), 403, 403),
    ] {
        let policy = json!({"Statement": {
            "Effect": effect, member: principal, "Action": "SQS:ReceiveMessage", "Resource": "*",
        }});
        let set = json!({"QueueUrl": "q", "Attributes": {"Policy": policy.to_string()}});
        assert_eq!(signed(&sqs, OWNER, "SetQueueAttributes", set).await.status, 200);
        assert_eq!((status(OWNER).await, status(SENDER).await), (owner, sender), "{policy}");
    }
}

#[tokio::test]
async fn a_move_task_needs_the_rights_to_what_it_does() {
    let sqs = locked().await;
    let arn = |queue: &str| format!("arn:aws:sqs:us-east-1:000000000000:{queue}");
    let own = async |action: &str, members: Value| {
        let done = signed(&sqs, OWNER, action, members).await;
        assert_eq!(done.status, 200, "{done:?}");
        done.json()
    };
    own("CreateQueue", json!({"QueueName": "dead"})).await;
    let redrive = json!({"deadLetterTargetArn": arn("dead"), "maxReceiveCount": 1}).to_string();
    for queue in ["orders-1", "other"] {
        let attributes = json!({"RedrivePolicy": redrive});
        own("CreateQueue", json!({"QueueName": queue, "Attributes": attributes})).await;
    }
    let permit = async |queue: &str, actions: &[&str]| {
        let actions: Vec<_> = actions.iter().map(|action| format!("SQS:{action}")).collect();
        let policy = json!({"Statement": {
            "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:user/sender"},
            "Action": actions, "Resource": "*",
        }});
        let attributes = json!({"Policy": policy.to_string()});
        own("SetQueueAttributes", json!({"QueueUrl": queue, "Attributes": attributes})).await;
    };
    let refuses = async |action: &str, members: &Value, lacks: &str, queue: &str| {
        let refused = signed(&sqs, SENDER, action, members.clone()).await;
        assert_refused(&refused, 403, "AccessDenied");
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        let lacks = format!("perform: sqs:{} on resource: {} ", lacks.to_lowercase(), arn(queue));
        assert!(message.contains(&lacks), "{message}");
    };
    let back = json!({"SourceArn": arn("dead")});
    let to = |queue: &str| json!({"SourceArn": arn("dead"), "DestinationArn": arn(queue)});
    let handle = own("StartMessageMoveTask", back.clone()).await["TaskHandle"].clone();
    let cancel = json!({"TaskHandle": handle});
    let moves = ["ReceiveMessage", "DeleteMessage", "GetQueueAttributes"];
    for (action, members, also) in [
        ("CancelMessageMoveTask", &cancel, &moves[..]),
        ("ListMessageMoveTasks", &back, &moves[2..]),
        ("StartMessageMoveTask", &to("orders-1"), &moves[..]),
    ] {
        let needed: Vec<_> = [action].into_iter().chain(also.iter().copied()).collect();
        for lacks in &needed {
            let others: Vec<_> = needed.iter().copied().filter(|other| other != lacks).collect();
            // Something, so that it is a policy.
            permit("dead", &[&others[..], &["GetQueueUrl"]].concat()).await;
            refuses(action, members, lacks, "dead").await;
        }
        permit("dead", &needed).await;
        let done = signed(&sqs, SENDER, action, members.clone()).await;
        assert_ne!(done.status, 403, "{done:?}");
    }
    // Its own rights are to send to one of the queues that dead letters came from.
    refuses("StartMessageMoveTask", &to("other"), "SendMessage", "other").await;
    refuses("StartMessageMoveTask", &back, "SendMessage", "other").await;
    permit("other", &["SendMessage"]).await;
    for members in [to("other"), back] {
        let done = signed(&sqs, SENDER, "StartMessageMoveTask", members).await;
        assert_ne!(done.status, 403, "{done:?}");
    }
}

#[tokio::test]
async fn a_policy_acts_from_its_answer_on_whichever_door_it_came_through() {
    let sqs = locked().await;
    let client = sqs.client().await;
    let allow = json!({"Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "SQS:SendMessage", "Resource": "*"},
    ]});
    let set = |policy: &Value| {
        let notes = TextMap::from([("sqs.Policy".to_owned(), policy.to_string())]);
        QueueAttributes { notes: Some(notes), ..QueueAttributes::default() }
    };
    let status = async || {
        let send = json!({"QueueUrl": "q", "MessageBody": "x"});
        signed(&sqs, FOREIGN, "SendMessage", send).await.status
    };
    for _ in 0..3 {
        // Twice: as it is asked for and as it is known.
        assert_eq!((status().await, status().await), (403, 403));
        client.alter_queue("q", set(&allow)).await.unwrap();
        assert_eq!((status().await, status().await), (200, 200));
        let none = QueueAttributes { notes: Some(TextMap::new()), ..QueueAttributes::default() };
        client.alter_queue("q", none).await.unwrap();
        assert_eq!(status().await, 403);
        client.alter_queue("q", set(&allow)).await.unwrap();
        assert_eq!(status().await, 200);
        // A queue of the same name is another one.
        client.delete_queue("q").await.unwrap();
        assert_eq!(status().await, 403);
        client.create_queue("q", Default::default()).await.unwrap();
    }
    client.create_queue("other", set(&allow)).await.unwrap();
    let send = json!({"QueueUrl": "other", "MessageBody": "x"});
    assert_eq!(signed(&sqs, FOREIGN, "SendMessage", send).await.status, 200);
    assert_eq!(status().await, 403);
}

#[tokio::test]
async fn a_policy_may_ask_where_a_request_comes_from_and_whose_it_is() {
    let sqs = locked().await;
    let set = |condition: Value| {
        let policy = json!({"Statement": [{
            "Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "SQS:SendMessage",
            "Resource": "*", "Condition": condition,
        }]});
        json!({"QueueUrl": "q", "Attributes": {"Policy": policy.to_string()}})
    };
    for (condition, is_allowed) in [
        (json!({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}), true),
        (json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), false),
        (json!({"StringEquals": {"aws:PrincipalAccount": "111111111111"}}), true),
        (json!({"Bool": {"aws:SecureTransport": "true"}}), false),
        (json!({"DateGreaterThan": {"aws:CurrentTime": "2000-01-01T00:00:00Z"}}), true),
        (json!({"Unheard": {"aws:Of": "x"}}), false),
    ] {
        assert_eq!(
            signed(&sqs, OWNER, "SetQueueAttributes", set(condition.clone())).await.status,
            200
        );
        let send = json!({"QueueUrl": "q", "MessageBody": "x"});
        let sent = signed(&sqs, FOREIGN, "SendMessage", send).await;
        assert_eq!(sent.status, if is_allowed { 200 } else { 403 }, "{condition}: {sent:?}");
    }
}

#[tokio::test]
async fn no_policy_lets_another_account_do_what_is_the_owners_alone() {
    let sqs = locked().await;
    let everything = json!({
        "QueueUrl": "q", "Label": "l", "AWSAccountIds": ["111111111111"], "Actions": ["*"],
    });
    assert_eq!(signed(&sqs, OWNER, "AddPermission", everything).await.status, 200);
    let refuses_all = async |how: &str| {
        for (action, members) in [
            (
                "AddPermission",
                json!({"QueueUrl": "q", "Label": "m", "AWSAccountIds": ["111111111111"],
                    "Actions": ["SendMessage"]}),
            ),
            ("CreateQueue", json!({"QueueName": "q"})),
            ("DeleteQueue", json!({"QueueUrl": "q"})),
            ("ListQueueTags", json!({"QueueUrl": "q"})),
            ("ListQueues", json!({})),
            ("RemovePermission", json!({"QueueUrl": "q", "Label": "l"})),
            ("SetQueueAttributes", json!({"QueueUrl": "q", "Attributes": {"Policy": ""}})),
            ("TagQueue", json!({"QueueUrl": "q", "Tags": {"k": "v"}})),
            ("UntagQueue", json!({"QueueUrl": "q", "TagKeys": ["k"]})),
        ] {
            let outcome = signed(&sqs, FOREIGN, action, members).await;
            let found = (outcome.status, outcome.header("x-amzn-query-error"));
            assert_eq!(found, (403, Some("AccessDenied;Sender")), "{how}: {action}: {outcome:?}");
        }
        let send = json!({"QueueUrl": "q", "MessageBody": "x"});
        assert_eq!(signed(&sqs, FOREIGN, "SendMessage", send).await.status, 200, "{how}");
    };
    refuses_all("AddPermission *").await;
    let policy = json!({"Statement": {
        "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*",
    }});
    let set = json!({"QueueUrl": "q", "Attributes": {"Policy": policy.to_string()}});
    assert_eq!(signed(&sqs, OWNER, "SetQueueAttributes", set).await.status, 200);
    refuses_all("a Policy that allows everything").await;
    // The owner's own keys may be given them.
    let tag = json!({"QueueUrl": "q", "Tags": {"k": "v"}});
    assert_eq!(signed(&sqs, SENDER, "TagQueue", tag).await.status, 200);
}

/// What a browser asks before it lets a page of another origin ask.
const PREFLIGHT: &str = "OPTIONS / HTTP/1.1\r\nHost: queues.example\r\n\
    Origin: https://page.example\r\nAccess-Control-Request-Method: POST\r\n\
    Access-Control-Request-Headers: authorization,x-amz-date,x-amz-target\r\n\
    Connection: close\r\n\r\n";

#[tokio::test]
async fn a_page_of_another_origin_may_ask_where_requests_are_signed() {
    let sqs = locked().await;
    let allowed = sqs.send(PREFLIGHT.as_bytes()).await;
    assert_eq!((allowed.status, &*allowed.body), (200, ""), "{allowed:?}");
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET, POST"),
        ("access-control-allow-headers", "authorization,x-amz-date,x-amz-target"),
    ] {
        assert_eq!(allowed.header(name), Some(value));
    }
    let origin = format!("Origin: https://page.example\r\n{PLAIN}");
    let sent = post(&sqs, &origin, BODY).await;
    // An error, too, may be read.
    let refused = post(&sqs, &origin, "{}").await;
    assert_eq!((sent.status, refused.status), (200, 403));
    for answer in [sent, refused] {
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let exposed = answer.header("access-control-expose-headers").unwrap();
        for header in ["x-amzn-RequestId", "x-amzn-query-error", "Date"] {
            assert!(exposed.split(", ").any(|name| name == header), "{exposed}");
        }
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    // Who is no page is told nothing of it, and what is no preflight must be signed.
    assert_eq!(post(&sqs, PLAIN, BODY).await.header("access-control-allow-origin"), None);
    let options = PREFLIGHT.replace("Access-Control-Request-Method", "X-Method");
    assert_refused(&sqs.send(options.as_bytes()).await, 403, "AccessDenied");
    assert_eq!(stored(&sqs).await, 2);
}

#[tokio::test]
async fn no_page_may_ask_where_nobody_signs() {
    let sqs = Sqs::start().await;
    let get = |header: &str| {
        format!(
            "GET /?Action=ListQueues HTTP/1.1\r\nHost: h\r\n{header}\r\nConnection: close\r\n\r\n"
        )
    };
    for (request, status) in [
        (PREFLIGHT.to_owned(), 403),
        (get("Origin: https://page.example"), 403),
        // A picture's address, say.
        (get("Sec-Fetch-Site: cross-site"), 403),
        // Somebody has typed it in.
        (get("Sec-Fetch-Site: none"), 200),
    ] {
        let answer = sqs.send(request.as_bytes()).await;
        assert_eq!(answer.status, status, "{request}");
        let of_cors = |(name, _): &&(String, String)| name.starts_with("access-control-");
        assert_eq!(answer.headers.iter().find(of_cors), None);
    }
}

#[tokio::test]
async fn a_name_rests_for_the_pause_and_no_longer() {
    let clock = SimClock::new(BEGIN_MS);
    let config = Config::new(None, "us-east-1", "000000000000", Duration::from_secs(60));
    let config = config.with_clock(Arc::new(clock.clone()));
    let sqs = Sqs::start_at(clock, config, Limits::default()).await;
    let url = sqs.create("q", json!({})).await;
    sqs.ask("PurgeQueue", json!({"QueueUrl": url})).await;
    sqs.clock.advance(59_000);
    assert_eq!(sqs.json("PurgeQueue", &json!({"QueueUrl": url})).await.status, 403);
    sqs.clock.advance(1_000);
    sqs.ask("PurgeQueue", json!({"QueueUrl": url})).await;
    sqs.ask("DeleteQueue", json!({"QueueUrl": url})).await;
    sqs.clock.advance(59_000);
    assert_eq!(sqs.json("CreateQueue", &json!({"QueueName": "q"})).await.status, 400);
    sqs.clock.advance(1_000);
    sqs.create("q", json!({})).await;
}

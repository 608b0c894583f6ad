// The AWS SDK for JavaScript, version 3, and sqs-consumer on it. The argument is the endpoint's URL.
import assert from "node:assert/strict";
import {
  CreateQueueCommand,
  DeleteMessageCommand,
  GetQueueUrlCommand,
  PurgeQueueCommand,
  QueueDoesNotExist,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";

const endpoint = process.argv[2];
const credentials = { accessKeyId: "test", secretAccessKey: "test" };
const sqs = new SQSClient({ endpoint, region: "us-east-1", credentials });

async function test(name, body) {
  await body();
  console.log(`ok ${name}`);
}

await test("a message comes back as it was sent", async () => {
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: "js" }));
  const sent = await sqs.send(
    new SendMessageCommand({
      QueueUrl,
      MessageBody: "hello é中😀",
      MessageAttributes: {
        bytes: { DataType: "Binary", BinaryValue: new Uint8Array([0, 1, 255]) },
        n: { DataType: "Number", StringValue: "5" },
      },
    }),
  );
  const { Messages } = await sqs.send(
    new ReceiveMessageCommand({
      QueueUrl,
      WaitTimeSeconds: 5,
      MessageAttributeNames: ["All"],
      MessageSystemAttributeNames: ["All"],
    }),
  );
  assert.equal(Messages.length, 1);
  assert.equal(Messages[0].Body, "hello é中😀");
  assert.equal(Messages[0].MessageId, sent.MessageId);
  assert.equal(Messages[0].MD5OfMessageAttributes, sent.MD5OfMessageAttributes);
  assert.deepEqual([...Messages[0].MessageAttributes.bytes.BinaryValue], [0, 1, 255]);
  assert.equal(Messages[0].Attributes.ApproximateReceiveCount, "1");
  const ReceiptHandle = Messages[0].ReceiptHandle;
  await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
  const empty = await sqs.send(new ReceiveMessageCommand({ QueueUrl }));
  assert.equal(empty.Messages, undefined);
});

await test("errors have their class and their old name", async () => {
  const asked = sqs.send(new GetQueueUrlCommand({ QueueName: "js-none" }));
  const error = await asked.then(
    () => assert.fail("there is no such queue"),
    (error) => error,
  );
  assert.ok(error instanceof QueueDoesNotExist, String(error));
  assert.equal(error.name, "QueueDoesNotExist");
  assert.equal(error.Code ?? error.Error?.Code, "AWS.SimpleQueueService.NonExistentQueue");
  assert.equal(error.$metadata.httpStatusCode, 400);
});

await test("sqs-consumer handles and deletes what comes", async () => {
  const { QueueUrl: queueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: "js-consumer" }));
  const Entries = Array.from({ length: 10 }, (_, i) => ({ Id: `${i}`, MessageBody: `${i}` }));
  await sqs.send(new SendMessageBatchCommand({ QueueUrl: queueUrl, Entries }));
  const handled = [];
  await new Promise((resolve, reject) => {
    const consumer = Consumer.create({
      queueUrl,
      sqs,
      batchSize: 10,
      waitTimeSeconds: 1,
      handleMessageBatch: async (messages) => {
        handled.push(...messages.map((message) => message.Body));
        return messages;
      },
    });
    consumer.on("error", reject);
    consumer.on("processing_error", reject);
    consumer.on("empty", () => {
      if (handled.length === 10) {
        consumer.stop();
        resolve();
      }
    });
    consumer.start();
  });
  assert.deepEqual(handled.sort(), [..."0123456789"]);
  await sqs.send(new PurgeQueueCommand({ QueueUrl: queueUrl }));
});

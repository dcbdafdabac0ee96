// Google's Node client against the Pub/Sub server at PUBSUB_EMULATOR_HOST. Run: node --test pubsub.test.js
const test = require('node:test');
const assert = require('node:assert');
const http = require('node:http');
const {PubSub} = require('@google-cloud/pubsub');

const pubsub = new PubSub({projectId: 'node'});
const run = Date.now();
let made = 0;
test.after(() => pubsub.close());

async function create(settings = {}, topicSettings = {}) {
  const number = ++made;
  const [topic] = await pubsub.createTopic({name: `topic-${run}-${number}`, ...topicSettings});
  const [subscription] = await topic.createSubscription(`subscription-${run}-${number}`, settings);
  return {topic, subscription};
}

// The first `count` messages; `settle` gets each of them. The subscription is closed afterwards.
function receive(subscription, count, settle = message => message.ack()) {
  return new Promise((resolve, reject) => {
    const got = [];
    subscription.on('error', reject);
    subscription.on('message', async message => {
      got.push(message);
      await settle(message);
      if (got.length === count) subscription.close().then(() => resolve(got), reject);
    });
  });
}

const texts = messages => messages.map(message => message.data.toString());

test('settings of a subscription without push', async () => {
  const {subscription} = await create({labels: {a: 'b'}, ackDeadlineSeconds: 20});
  const [settings] = await subscription.getMetadata();
  assert.strictEqual(settings.pushConfig.pushEndpoint, '');
  await subscription.setMetadata({ackDeadlineSeconds: 33});
  assert.strictEqual((await subscription.getMetadata())[0].ackDeadlineSeconds, 33);
});

test('limits of attributes', async () => {
  const {topic} = await create();
  const publish = attributes => topic.publishMessage({data: Buffer.from('x'), attributes});
  await publish({['k'.repeat(256)]: 'v'.repeat(1024)});
  for (const wrong of [{['k'.repeat(257)]: 'v'}, {k: 'v'.repeat(1025)}, {googleKey: 'v'}]) {
    await assert.rejects(publish(wrong), error => error.code === 3);
  }
});

test('ordered messages', async () => {
  const {topic, subscription} = await create({enableMessageOrdering: true});
  topic.setPublishOptions({messageOrdering: true});
  const wanted = [...Array(100).keys()].map(String);
  const received = receive(subscription, 200);
  await Promise.all(
    wanted.flatMap(text =>
      ['a', 'b'].map(orderingKey => topic.publishMessage({data: Buffer.from(text), orderingKey}))
    )
  );
  const got = await received;
  for (const key of ['a', 'b']) {
    assert.deepStrictEqual(texts(got.filter(message => message.orderingKey === key)), wanted);
  }
});

test('exactly-once delivery confirms acks, and refuses an ack of an earlier delivery', async () => {
  const {topic, subscription} = await create({enableExactlyOnceDelivery: true});
  const deliveries = [];
  const answers = [];
  const received = receive(subscription, 101, async message => {
    deliveries.push(message);
    if (deliveries.length === 1) return message.nackWithResponse();
    answers.push(await message.ackWithResponse());
  });
  await Promise.all([...Array(100).keys()].map(() => topic.publishMessage({data: Buffer.from('x')})));
  await received;
  assert.deepStrictEqual(answers, Array(100).fill('SUCCESS'));
});

test('flow control of a stream', async () => {
  const {topic, subscription} = await create();
  for (let number = 0; number < 20; number++) await topic.publishMessage({data: Buffer.from('x')});
  subscription.setOptions({flowControl: {maxMessages: 5, allowExcessMessages: false}});
  let held = 0;
  let most = 0;
  await receive(subscription, 20, async message => {
    most = Math.max(most, ++held);
    await new Promise(resolve => setTimeout(resolve, 20));
    held--;
    message.ack();
  });
  assert.ok(most <= 5, `${most} messages at a time`);
});

test('dead letters', async () => {
  const dead = await create();
  const deadLetterPolicy = {deadLetterTopic: dead.topic.name, maxDeliveryAttempts: 5};
  const {topic, subscription} = await create({deadLetterPolicy});
  await topic.publishMessage({data: Buffer.from('x'), attributes: {a: 'b'}});
  const attempts = (await receive(subscription, 5, message => message.nack())).map(each => each.deliveryAttempt);
  assert.deepStrictEqual(attempts, [1, 2, 3, 4, 5]);
  const [forwarded] = await receive(dead.subscription, 1);
  assert.strictEqual(forwarded.attributes.a, 'b');
  assert.strictEqual(forwarded.attributes.CloudPubSubDeadLetterSourceDeliveryCount, '5');
  await assert.rejects(
    create({deadLetterPolicy: {...deadLetterPolicy, maxDeliveryAttempts: 4}}),
    error => error.code === 3
  );
});

test('seek to a snapshot and to a time', async () => {
  const {topic, subscription} = await create({retainAckedMessages: true});
  const start = new Date(Date.now() - 1000);
  const [snapshot] = await subscription.createSnapshot(`snapshot-${run}`);
  await topic.publishMessage({data: Buffer.from('x')});
  await receive(subscription, 1);
  await snapshot.seek();
  assert.deepStrictEqual(texts(await receive(pubsub.subscription(subscription.name), 1)), ['x']);
  await subscription.seek(start);
  assert.deepStrictEqual(texts(await receive(pubsub.subscription(subscription.name), 1)), ['x']);
  await snapshot.delete();
});

test('schemas', async () => {
  const definition = {type: 'record', name: 'R', fields: [{name: 'a', type: 'string'}]};
  const schema = await pubsub.createSchema(`schema-${run}`, 'AVRO', JSON.stringify(definition));
  const schemaSettings = {schema: await schema.getName(), encoding: 'JSON'};
  const {topic, subscription} = await create({}, {schemaSettings});
  await topic.publishMessage({data: Buffer.from('{"a": "x"}')});
  await assert.rejects(topic.publishMessage({data: Buffer.from('{"a": 1}')}), error => error.code === 3);
  const [message] = await receive(subscription, 1);
  assert.strictEqual(message.attributes.googclient_schemaencoding, 'JSON');
  await schema.delete();
});

test('filters', async () => {
  const {topic, subscription} = await create({filter: 'attributes.a = "1"'});
  for (const a of ['0', '1', '2', '1']) await topic.publishMessage({data: Buffer.from(a), attributes: {a}});
  assert.deepStrictEqual(texts(await receive(subscription, 2)), ['1', '1']);
});

test('push', async () => {
  const bodies = [];
  let arrived;
  const all = new Promise(resolve => (arrived = resolve));
  const server = http.createServer(async (request, response) => {
    let text = '';
    for await (const part of request) text += part;
    if (bodies.push(JSON.parse(text)) === 3) arrived();
    response.writeHead(bodies.length === 1 ? 500 : 204).end();
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  const {topic, subscription} = await create({pushEndpoint: `http://127.0.0.1:${server.address().port}/`});
  for (const text of ['a', 'b']) await topic.publishMessage({data: Buffer.from(text)});
  await all;
  await subscription.delete();
  server.close();
  const got = bodies.map(body => Buffer.from(body.message.data, 'base64').toString());
  assert.deepStrictEqual([...new Set(got)].sort(), ['a', 'b']);
});

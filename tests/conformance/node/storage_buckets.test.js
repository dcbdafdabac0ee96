// Google's Node client against the Storage server at STORAGE_EMULATOR_HOST: buckets, access, signatures, notifications.
const test = require('node:test');
const assert = require('node:assert');
const {PubSub} = require('@google-cloud/pubsub');
const client = require('./storage_client.js');
const {host, inAnHour, names, newBucket, refused, storage, text, withFaults} = client;

let bucket;
test.before(async () => (bucket = await newBucket()));

test('settings of a bucket', async () => {
  const own = await newBucket({location: 'EU', storageClass: 'NEARLINE', labels: {a: 'b'}});
  await own.setLabels({c: 'd'});
  assert.deepStrictEqual((await own.getLabels())[0], {a: 'b', c: 'd'});
  await own.deleteLabels('a');
  await own.setCorsConfiguration([{origin: ['*'], method: ['GET'], maxAgeSeconds: 60}]);
  await own.addLifecycleRule({action: {type: 'Delete'}, condition: {age: 3}});
  await own.setMetadata({website: {mainPageSuffix: 'index.html'}, versioning: {enabled: true}});
  const [metadata] = await own.getMetadata();
  assert.deepStrictEqual(
    [metadata.location, metadata.storageClass, metadata.labels, metadata.versioning.enabled, metadata.website],
    ['EU', 'NEARLINE', {c: 'd'}, true, {mainPageSuffix: 'index.html'}]
  );
  assert.deepStrictEqual([metadata.cors[0].maxAgeSeconds, metadata.lifecycle.rule[0].condition.age], [60, 3]);
  await assert.rejects(own.setMetadata({labels: {e: 'f'}}, {ifMetagenerationMatch: 1}), refused(412));
});

test('buckets come and go', async () => {
  const own = await newBucket();
  await assert.rejects(storage.createBucket(own.name), refused(409));
  assert.ok(names((await storage.getBuckets())[0]).includes(own.name));
  assert.deepStrictEqual(names((await storage.getBuckets({prefix: own.name}))[0]), [own.name]);
  await own.file('a').save('x');
  await assert.rejects(own.delete(), refused(409));
  await own.deleteFiles();
  await own.delete();
  assert.deepStrictEqual(await own.exists(), [false]);
  await assert.rejects(own.getMetadata(), refused(404));
  await assert.rejects(storage.createBucket('Not_A_Name!'), refused(400));
});

test('retention and holds', async () => {
  const own = await newBucket();
  const file = own.file('held');
  await file.save('x');
  await file.setMetadata({temporaryHold: true});
  await assert.rejects(file.delete(), refused(403));
  await file.setMetadata({temporaryHold: false});
  await own.setRetentionPeriod(3600);
  await own.file('kept').save('x');
  const [expires] = await own.file('kept').getExpirationDate();
  assert.ok(Math.abs(expires - inAnHour()) < 600_000);
  await assert.rejects(own.file('kept').delete(), refused(403));
  await own.removeRetentionPeriod();
  await own.file('kept').delete();
});

test('access control lists', async () => {
  const entity = 'user-a@example.com';
  const file = bucket.file('listed');
  await file.save('x', {resumable: false});
  for (const acl of [file.acl, bucket.acl, bucket.acl.default]) {
    await acl.add({entity, role: 'OWNER'});
    assert.strictEqual((await acl.get({entity}))[0].role, 'OWNER');
    await acl.update({entity, role: 'READER'});
    assert.ok((await acl.get())[0].some(each => each.entity === entity && each.role === 'READER'));
    await acl.delete({entity});
    await assert.rejects(acl.get({entity}), refused(404));
  }
  await file.makePublic();
  assert.strictEqual((await file.acl.get({entity: 'allUsers'}))[0].role, 'READER');
  assert.deepStrictEqual(await file.isPublic(), [true]);
  await file.makePrivate();
  await assert.rejects(file.acl.get({entity: 'allUsers'}), refused(404));
  await bucket.file('public').save('x', {resumable: false, public: true});
  assert.strictEqual((await bucket.file('public').acl.get({entity: 'allUsers'}))[0].role, 'READER');
});

test('uniform access', async () => {
  const own = await newBucket({iamConfiguration: {uniformBucketLevelAccess: {enabled: true}}});
  await own.file('a').save('x');
  await assert.rejects(own.file('a').acl.get(), refused(400));
  const closed = await newBucket({iamConfiguration: {publicAccessPrevention: 'enforced'}});
  const [policy] = await closed.iam.getPolicy();
  policy.bindings = [...(policy.bindings ?? []), {role: 'roles/storage.objectViewer', members: ['allUsers']}];
  await assert.rejects(closed.iam.setPolicy(policy), refused(412));
});

test('IAM policies', async () => {
  const binding = {role: 'roles/storage.objectViewer', members: ['user:a@example.com']};
  const [policy] = await bucket.iam.getPolicy();
  await bucket.iam.setPolicy({...policy, bindings: [...(policy.bindings ?? []), binding]});
  const {bindings} = (await bucket.iam.getPolicy())[0];
  assert.deepStrictEqual(bindings.find(each => each.role === binding.role), binding);
  await assert.rejects(bucket.iam.setPolicy(policy), refused(412)); // its etag is old
  const [permissions] = await bucket.iam.testPermissions(['storage.buckets.get']);
  assert.deepStrictEqual(permissions, {'storage.buckets.get': true});
});

test('HMAC keys', async () => {
  const [key, secret] = await storage.createHmacKey('a@p.iam.gserviceaccount.com');
  assert.ok(secret && key.metadata.state === 'ACTIVE');
  await assert.rejects(key.delete(), refused(400));
  await key.setMetadata({state: 'INACTIVE'});
  assert.ok((await storage.getHmacKeys())[0].some(each => each.metadata.accessId === key.metadata.accessId));
  await key.delete();
});

test('signed URLs', async () => {
  const file = bucket.file('signed ü.txt');
  for (const version of ['v2', 'v4']) {
    const sign = async settings => (await file.getSignedUrl({version, expires: inAnHour(), ...settings}))[0];
    const headers = {'Content-Type': 'text/css', 'x-goog-meta-a': 'b'};
    const to = await sign({action: 'write', contentType: 'text/css', extensionHeaders: {'x-goog-meta-a': 'b'}});
    assert.strictEqual((await fetch(to, {method: 'PUT', body: version, headers})).status, 200, version);
    const from = await sign({action: 'read', promptSaveAs: 'a.txt'});
    const response = await fetch(from);
    assert.deepStrictEqual([response.status, await response.text()], [200, version]);
    assert.match(response.headers.get('content-disposition'), /attachment; filename="a.txt"/);
    assert.deepStrictEqual((await file.getMetadata())[0].metadata, {a: 'b'});
    assert.strictEqual((await fetch(from.replace(bucket.name, 'other'))).status, 403, version);
    assert.strictEqual((await fetch(from, {method: 'DELETE'})).status, 403, version);
    assert.strictEqual((await fetch(await sign({action: 'delete'}), {method: 'DELETE'})).status, 204);
  }
  const later = {version: 'v4', action: 'read', accessibleAt: inAnHour(), expires: inAnHour() + 60_000};
  assert.strictEqual((await fetch((await file.getSignedUrl(later))[0])).status, 403);
});

test('a signed listing', async () => {
  const own = await newBucket();
  await own.file('found').save('x');
  const [url] = await own.getSignedUrl({version: 'v4', action: 'list', expires: inAnHour()});
  assert.match(await (await fetch(url)).text(), /<Key>found<\/Key>/);
});

test('a signed resumable upload', async () => {
  const file = bucket.file('signed-resumable');
  const [url] = await file.getSignedUrl({version: 'v4', action: 'resumable', expires: inAnHour()});
  const begun = await fetch(url, {method: 'POST', headers: {'x-goog-resumable': 'start'}});
  assert.strictEqual(begun.status, 201);
  const done = await fetch(begun.headers.get('location'), {method: 'PUT', body: 'content'});
  assert.strictEqual(done.status, 200);
  assert.strictEqual(await text(file), 'content');
});

test('signed forms', async () => {
  const file = bucket.file('form');
  const [{url, fields}] = await file.generateSignedPostPolicyV4({
    expires: inAnHour(), fields: {'x-goog-meta-a': 'b'}, conditions: [['content-length-range', 0, 10]],
  });
  const post = content => {
    const form = new FormData();
    Object.entries(fields).forEach(([name, value]) => form.append(name, value));
    form.append('file', new Blob([content]));
    return fetch(url, {method: 'POST', body: form});
  };
  assert.strictEqual((await post('content')).status, 204);
  assert.deepStrictEqual([await text(file), (await file.getMetadata())[0].metadata], ['content', {a: 'b'}]);
  assert.strictEqual((await post('more than ten bytes')).status, 400);
});

test('notifications', async () => {
  const pubsub = new PubSub({projectId: 'p'});
  const [topic] = await pubsub.createTopic(`notified-${process.pid}-${Date.now()}`);
  const [subscription] = await topic.createSubscription(`${topic.name.split('/').pop()}-sub`);
  const own = await newBucket();
  const eventTypes = ['OBJECT_FINALIZE', 'OBJECT_DELETE'];
  const settings = {eventTypes, customAttributes: {a: 'b'}, objectNamePrefix: 'watched/'};
  const [notification] = await own.createNotification(topic.name, settings);
  assert.deepStrictEqual((await notification.getMetadata())[0].event_types, eventTypes);
  assert.strictEqual((await own.getNotifications())[0].length, 1);
  const received = new Promise((resolve, reject) => {
    const got = [];
    subscription.on('error', reject).on('message', message => {
      message.ack();
      if (got.push(message) === 2) resolve(got);
    });
  });
  await own.file('elsewhere').save('x');
  await own.file('watched/a').save('x');
  await own.file('watched/a').delete();
  const got = (await received).map(({attributes}) => [attributes.eventType, attributes.objectId, attributes.a]);
  assert.deepStrictEqual(got.sort(), [['OBJECT_DELETE', 'watched/a', 'b'], ['OBJECT_FINALIZE', 'watched/a', 'b']]);
  await notification.delete();
  assert.deepStrictEqual(await notification.exists(), [false]);
  await subscription.close();
  await pubsub.close();
});

test('service accounts', async () => {
  assert.match((await storage.getServiceAccount())[0].emailAddress, /@/);
});

test('failing calls of buckets are repeated', async () => {
  for (const [method, call] of [
    ['storage.buckets.get', each => each.getMetadata()],
    ['storage.objects.list', each => each.getFiles()],
    ['storage.buckets.getIamPolicy', each => each.iam.getPolicy()],
  ]) {
    const faulty = await withFaults(bucket, method, ['return-503', 'return-reset-connection']);
    await call(faulty.bucket);
    assert.ok(await faulty.allHappened(), method);
  }
});

test('another host by code', async () => {
  const explicit = new client.Storage({projectId: 'p', apiEndpoint: host});
  assert.deepStrictEqual(await explicit.bucket(bucket.name).exists(), [true]);
});

// What the cases of Google's Node client for Storage share. CLIENT names its package.
const assert = require('node:assert');
const crypto = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const {Storage, TransferManager} = require(process.env.CLIENT);

const host = process.env.STORAGE_EMULATOR_HOST;
const credentials = {
  client_email: 'signer@p.iam.gserviceaccount.com',
  private_key: fs.readFileSync(process.env.SIGNING_KEY, 'utf8'),
};
const storage = new Storage({projectId: 'p', credentials});
let made = 0;

const newBucket = async (settings = {}) =>
  (await storage.createBucket(`node-${process.pid}-${Date.now()}-${++made}`, settings))[0];

// A client of its own whose calls of a method of the API get these faults; the bucket is that client's.
async function withFaults(bucket, method, faults) {
  const body = JSON.stringify({instructions: {[method]: faults}});
  const {id} = await (await fetch(`${host}/retry_test`, {method: 'POST', body})).json();
  const retryOptions = {retryDelayMultiplier: 1, maxRetryDelay: 1};
  const client = new Storage({projectId: 'p', retryOptions});
  client.interceptors.push({
    request: options => ({...options, headers: {...options.headers, 'x-retry-test-id': id}}),
  });
  const allHappened = async () => (await (await fetch(`${host}/retry_test/${id}`)).json()).completed;
  return {bucket: client.bucket(bucket.name), allHappened};
}

async function bytes(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

const refused = code => error => {
  assert.strictEqual(Number(error.code ?? error.status), code, error.stack);
  return true;
};

const temporary = () => fs.mkdtempSync(path.join(os.tmpdir(), 'node-storage-'));
const random = size => crypto.randomBytes(size);
const text = async file => (await file.download())[0].toString();
const names = files => files.map(file => file.name);
const inAnHour = () => Date.now() + 3600_000;

module.exports = {
  Storage, TransferManager, bytes, host, inAnHour, names, newBucket, random, refused, storage, temporary, text,
  withFaults,
};

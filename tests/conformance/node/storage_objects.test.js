// Google's Node client against the Storage server at STORAGE_EMULATOR_HOST: objects and their bytes.
const test = require('node:test');
const assert = require('node:assert');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const zlib = require('node:zlib');
const {Readable} = require('node:stream');
const {pipeline} = require('node:stream/promises');
const client = require('./storage_client.js');
const {bytes, names, newBucket, random, refused, temporary, text, withFaults} = client;

const KIB = 1024;
const MIB = 1024 * KIB;
let bucket;
test.before(async () => (bucket = await newBucket()));

test('an upload in one request', async () => {
  const content = random(300 * KIB);
  const file = bucket.file('simple.bin');
  await file.save(content, {resumable: false, contentType: 'image/png', metadata: {metadata: {a: 'b'}}});
  const [{size, contentType, metadata}] = await file.getMetadata();
  assert.deepStrictEqual([size, contentType, metadata], [`${content.length}`, 'image/png', {a: 'b'}]);
  assert.deepStrictEqual((await file.download())[0], content);
});

test('a resumable upload', async () => {
  const content = random(300 * KIB);
  const file = bucket.file('resumable.txt');
  await file.save(content, {resumable: true, metadata: {cacheControl: 'no-store', metadata: {a: 'b'}}});
  const [{contentType, cacheControl, metadata}] = await file.getMetadata();
  assert.deepStrictEqual([contentType, cacheControl, metadata], ['text/plain', 'no-store', {a: 'b'}]);
  assert.deepStrictEqual((await file.download())[0], content);
});

test('17 MiB in chunks', async () => {
  const content = random(17 * MIB);
  const file = bucket.file('chunks.bin');
  const progress = [];
  const onUploadProgress = ({bytesWritten}) => progress.push(bytesWritten);
  await file.save(content, {resumable: true, chunkSize: 2 * MIB, validation: 'crc32c', onUploadProgress});
  assert.ok(progress.length >= 9, `${progress.length} chunks`);
  const md5 = crypto.createHash('md5').update(content).digest('base64');
  assert.strictEqual((await file.getMetadata())[0].md5Hash, md5);
  assert.ok((await file.download())[0].equals(content));
});

test('a stream of unknown length, in one request and in chunks', async () => {
  const pieces = [...Array(40).keys()].map(() => random(64 * KIB + 1));
  for (const settings of [{resumable: false}, {resumable: true}, {resumable: true, chunkSize: 256 * KIB}]) {
    const file = bucket.file(`stream-${JSON.stringify(settings)}`);
    await pipeline(Readable.from(pieces), file.createWriteStream(settings));
    assert.ok((await bytes(file.createReadStream())).equals(Buffer.concat(pieces)), JSON.stringify(settings));
  }
});

test('an upload continued at its address', async () => {
  const content = random(MIB + 5);
  const file = bucket.file('continued.bin');
  const [uri] = await file.createResumableUpload({metadata: {contentType: 'text/css'}});
  const part = {uri, chunkSize: 256 * KIB, resumable: true, validation: false};
  await file.save(content.subarray(0, 512 * KIB), {...part, isPartialUpload: true});
  assert.deepStrictEqual(await file.exists(), [false]);
  await file.save(content.subarray(512 * KIB), {...part, offset: 512 * KIB});
  assert.ok((await file.download())[0].equals(content));
  assert.strictEqual((await file.getMetadata())[0].contentType, 'text/css');
});

test('files of the disk, uploaded and downloaded', async () => {
  const folder = temporary();
  const source = path.join(folder, 'page.html');
  fs.writeFileSync(source, '<p>');
  for (const resumable of [true, false]) {
    const [file] = await bucket.upload(source, {destination: `pages/${resumable}.html`, resumable});
    assert.strictEqual(file.metadata.contentType, 'text/html');
    const destination = path.join(folder, `${resumable}`);
    await file.download({destination});
    assert.strictEqual(fs.readFileSync(destination, 'utf8'), '<p>');
  }
});

test('an empty object', async () => {
  for (const resumable of [true, false]) {
    const file = bucket.file(`empty-${resumable}`);
    await file.save('', {resumable});
    assert.strictEqual((await file.getMetadata())[0].size, '0');
    assert.strictEqual((await file.download())[0].length, 0);
  }
});

test('names beyond letters', async () => {
  const folder = `names/${process.pid}`;
  for (const name of ['a b', 'ü', '日本', '?#%&+', "it's (a) [b]", 'a//b', '😀']) {
    const file = bucket.file(`${folder}/${name}`);
    await file.save(name, {resumable: name === 'ü'});
    assert.strictEqual(await text(file), name);
    assert.deepStrictEqual(names((await bucket.getFiles({prefix: file.name}))[0]), [file.name]);
    await file.delete();
  }
});

test('ranges', async () => {
  const file = bucket.file('ranges');
  await file.save('0123456789', {resumable: false});
  for (const [range, wanted] of [
    [{start: 2, end: 4}, '234'], [{start: 7}, '789'], [{end: -3}, '789'], [{end: 0}, '0'], [{start: 8, end: 99}, '89'],
  ]) {
    assert.strictEqual((await bytes(file.createReadStream(range))).toString(), wanted, JSON.stringify(range));
  }
  await assert.rejects(file.download({start: 10, end: 20}), refused(416));
});

test('gzip', async () => {
  const content = Buffer.from('compressible '.repeat(1000));
  for (const resumable of [true, false]) {
    const file = bucket.file(`gzip-${resumable}.txt`);
    await file.save(content, {gzip: true, resumable});
    const [metadata] = await file.getMetadata();
    assert.strictEqual(metadata.contentEncoding, 'gzip');
    assert.ok(Number(metadata.size) < 1000);
    assert.ok((await file.download())[0].equals(content));
    const raw = await bytes(file.createReadStream({decompress: false}));
    assert.ok(zlib.gunzipSync(raw).equals(content));
  }
});

test('checksums', async () => {
  const wrong = Buffer.alloc(16).toString('base64');
  for (const resumable of [true, false]) {
    const file = bucket.file(`sums-${resumable}`);
    await assert.rejects(
      file.save('x', {resumable, validation: false, metadata: {md5Hash: wrong}}), refused(400)
    );
    await assert.rejects(
      file.save('x', {resumable, validation: false, metadata: {crc32c: 'AAAAAA=='}}), refused(400)
    );
    assert.deepStrictEqual(await file.exists(), [false]);
    for (const validation of ['md5', 'crc32c']) {
      await file.save('x', {resumable, validation});
      assert.strictEqual((await bytes(file.createReadStream({validation}))).toString(), 'x');
    }
  }
});

test('preconditions', async () => {
  const file = bucket.file('conditions');
  for (const resumable of [true, false]) {
    const once = {resumable, preconditionOpts: {ifGenerationMatch: 0}};
    await file.save('a', once);
    await assert.rejects(file.save('b', once), refused(412));
    const [{generation, metageneration}] = await file.getMetadata();
    const stale = {ifMetagenerationMatch: Number(metageneration) + 1};
    await assert.rejects(file.setMetadata({contentType: 'a/b'}, stale), refused(412));
    await file.setMetadata({contentType: 'a/b'}, {ifMetagenerationMatch: metageneration});
    await assert.rejects(file.delete({ifGenerationMatch: 1}), refused(412));
    await file.delete({ifGenerationMatch: generation});
  }
  await assert.rejects(file.getMetadata(), refused(404));
  await assert.rejects(file.download(), refused(404));
  const [first, second] = ['first', 'second'].map(name => bucket.file(name));
  await Promise.all([first.save('1'), second.save('2')]);
  await assert.rejects(first.copy(second, {preconditionOpts: {ifGenerationMatch: 0}}), refused(412));
});

test('metadata', async () => {
  const file = bucket.file('described');
  await file.save('x', {resumable: false, metadata: {metadata: {a: '1', b: '2'}}});
  const contentDisposition = 'inline; filename="ü.txt"';
  await file.setMetadata({contentDisposition, contentLanguage: 'de', metadata: {a: null, ö: '日本'}});
  let [metadata] = await file.getMetadata();
  assert.deepStrictEqual(metadata.metadata, {b: '2', ö: '日本'});
  assert.deepStrictEqual([metadata.contentLanguage, metadata.contentDisposition], ['de', contentDisposition]);
  assert.strictEqual(await text(file), 'x');
  await file.setMetadata({contentLanguage: null, customTime: '2026-01-01T00:00:00Z'});
  [metadata] = await file.getMetadata();
  assert.strictEqual(metadata.contentLanguage, undefined);
  await assert.rejects(file.setMetadata({customTime: '2025-01-01T00:00:00Z'}), refused(400));
});

test('compose', async () => {
  const sources = ['a', 'b', 'c'].map(name => bucket.file(`part-${name}`));
  await Promise.all(sources.map(file => file.save(file.name, {resumable: false})));
  const [whole] = await bucket.combine(sources, bucket.file('whole.txt'), {ifGenerationMatch: 0});
  assert.strictEqual(await text(whole), 'part-apart-bpart-c');
  const [{componentCount, md5Hash, contentType}] = await whole.getMetadata();
  assert.deepStrictEqual([componentCount, md5Hash, contentType], [3, undefined, 'text/plain']);
  await assert.rejects(bucket.combine(sources, whole, {ifGenerationMatch: 0}), refused(412));
});

test('copies, moves and storage classes', async () => {
  const file = bucket.file('original');
  await file.save('x', {resumable: false, metadata: {metadata: {a: 'b'}}});
  const [copy] = await file.copy(bucket.file('copied'), {metadata: {c: 'd'}, contentType: 'text/css'});
  const [{contentType, metadata}] = await copy.getMetadata();
  assert.deepStrictEqual([contentType, metadata], ['text/css', {c: 'd'}]);
  const [moved] = await copy.move('moved');
  const [renamed] = await moved.moveFileAtomic('renamed');
  assert.deepStrictEqual([await copy.exists(), await moved.exists(), await text(renamed)], [[false], [false], 'x']);
  await renamed.setStorageClass('nearline');
  assert.strictEqual((await renamed.getMetadata())[0].storageClass, 'NEARLINE');
  const other = await newBucket();
  assert.strictEqual(await text((await file.copy(other.file('there')))[0]), 'x');
});

test('listings', async () => {
  const own = await newBucket();
  const all = ['a/1.txt', 'a/2.png', 'a/b/3.txt', 'c.txt', 'd.txt'];
  await Promise.all(all.map(name => own.file(name).save(name, {resumable: false})));
  const list = async query => names((await own.getFiles(query))[0]);
  assert.deepStrictEqual(await list({}), all);
  assert.deepStrictEqual(await list({prefix: 'a/', delimiter: '/'}), ['a/1.txt', 'a/2.png']);
  assert.deepStrictEqual(await list({matchGlob: '**/*.txt'}), ['a/1.txt', 'a/b/3.txt', 'c.txt', 'd.txt']);
  assert.deepStrictEqual(await list({startOffset: 'a/b', endOffset: 'd'}), ['a/b/3.txt', 'c.txt']);
  const [page, next, response] = await own.getFiles({maxResults: 1, delimiter: '/', autoPaginate: false});
  assert.deepStrictEqual([names(page).length + (response.prefixes ?? []).length, Boolean(next)], [1, true]);
  const streamed = [];
  for await (const file of own.getFilesStream()) streamed.push(file.name);
  assert.deepStrictEqual(streamed, all);
  await own.deleteFiles({prefix: 'a/'});
  assert.deepStrictEqual(await list({}), ['c.txt', 'd.txt']);
});

test('generations', async () => {
  const own = await newBucket({versioning: {enabled: true}});
  const file = own.file('a');
  for (const content of ['one', 'two']) await file.save(content, {resumable: content === 'two'});
  const [versions] = await own.getFiles({versions: true});
  assert.deepStrictEqual(await Promise.all(versions.map(text)), ['one', 'two']);
  await versions[0].delete();
  await own.file('a').delete();
  assert.strictEqual((await own.getFiles({versions: true}))[0].length, 1);
});

test('soft deletion', async () => {
  const own = await newBucket({softDeletePolicy: {retentionDurationSeconds: 604800}});
  const file = own.file('a');
  await file.save('x', {resumable: false});
  const {generation} = file.metadata;
  await file.delete();
  const [[gone]] = await own.getFiles({softDeleted: true});
  assert.strictEqual(gone.metadata.generation, generation);
  await file.restore({generation});
  assert.strictEqual(await text(own.file('a')), 'x');
});

test('customer-supplied keys', async () => {
  const key = random(32);
  const file = bucket.file('secret', {encryptionKey: key});
  await file.save('x', {resumable: false});
  await assert.rejects(bucket.file('secret').download(), refused(400));
  assert.strictEqual(await text(file), 'x');
  const other = random(32);
  await file.rotateEncryptionKey({encryptionKey: other});
  assert.strictEqual(await text(bucket.file('secret', {encryptionKey: other})), 'x');
});

test('many files at once', async () => {
  const folder = temporary();
  const paths = [...Array(30).keys()].map(number => path.join(folder, `${number}.bin`));
  paths.forEach(each => fs.writeFileSync(each, random(100 * KIB)));
  const manager = new client.TransferManager(bucket);
  await manager.uploadManyFiles(paths, {customDestinationBuilder: each => `many/${path.basename(each)}`});
  const [files] = await bucket.getFiles({prefix: 'many/'});
  const back = path.join(folder, 'back');
  fs.mkdirSync(path.join(back, 'many'), {recursive: true});
  await manager.downloadManyFiles(files, {passthroughOptions: {destination: back}});
  for (const each of paths) {
    assert.ok(fs.readFileSync(path.join(back, 'many', path.basename(each))).equals(fs.readFileSync(each)), each);
  }
  const large = bucket.file('large');
  const content = random(5 * MIB + 7);
  await large.save(content, {resumable: false});
  const destination = path.join(folder, 'large');
  await manager.downloadFileInChunks(large, {chunkSizeBytes: MIB, destination, validation: 'crc32c'});
  assert.ok(fs.readFileSync(destination).equals(content));
});

test('failing calls are repeated', async () => {
  await bucket.file('calm').save('x', {resumable: false});
  for (const fault of ['return-503', 'return-429', 'return-reset-connection']) {
    const faulty = await withFaults(bucket, 'storage.objects.get', [fault]);
    assert.strictEqual((await faulty.bucket.file('calm').getMetadata())[0].size, '1', fault);
    assert.ok(await faulty.allHappened(), fault);
  }
});

test('an upload continues after a failure within', async () => {
  const content = random(2 * MIB);
  for (const fault of ['return-503-after-256K', 'return-503', 'return-reset-connection']) {
    const faulty = await withFaults(bucket, 'storage.objects.insert', [fault]);
    const file = faulty.bucket.file(`survivor-${fault}`);
    await file.save(content, {resumable: true, chunkSize: MIB, preconditionOpts: {ifGenerationMatch: 0}});
    assert.ok(await faulty.allHappened(), fault);
    assert.ok((await bucket.file(file.name).download())[0].equals(content), fault);
  }
});

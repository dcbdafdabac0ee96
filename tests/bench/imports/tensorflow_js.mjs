// Models of npm's nsfwjs in TensorFlow.js itself, which is installed in the current folder.
//   write MODEL FOLDER            writes a model of the package, which keeps it as JavaScript, as TensorFlow.js does
//   score FOLDER SIZE IN OUT      scores images [N, SIZE, SIZE, 3] of little-endian float32 into a JSON list of rows
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(`${process.cwd()}/`);

function write(model, folder) {
  const source = path.resolve("node_modules/nsfwjs/dist/models", model);
  const content = require(path.join(source, "model.min.js"));
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, "model.json"), JSON.stringify(content));
  for (const name of content.weightsManifest.flatMap((group) => group.paths)) {
    const data = Buffer.from(require(path.join(source, `${name}.min.js`)), "base64");
    fs.writeFileSync(path.join(folder, name), data);
  }
}

async function score(folder, size, given, made) {
  const tf = require("@tensorflow/tfjs");
  require("@tensorflow/tfjs-backend-wasm");
  await tf.setBackend("wasm");
  const content = JSON.parse(fs.readFileSync(path.join(folder, "model.json")));
  const names = content.weightsManifest.flatMap((group) => group.paths);
  const weightData = new Uint8Array(Buffer.concat(names.map((name) => fs.readFileSync(path.join(folder, name))))).buffer;
  const weightSpecs = content.weightsManifest.flatMap((group) => group.weights);
  const handler = { load: async () => ({ ...content, weightSpecs, weightData }) };
  const model = await (content.modelTopology.node ? tf.loadGraphModel(handler) : tf.loadLayersModel(handler));
  const values = new Float32Array(new Uint8Array(fs.readFileSync(given)).buffer);
  const shape = [1, Number(size), Number(size), 3];
  const each = shape[1] * shape[2] * shape[3];
  const rows = [];
  for (let start = 0; start < values.length; start += each) {
    const scores = model.predict(tf.tensor(values.subarray(start, start + each), shape));
    rows.push(Array.from(await scores.data()));
    scores.dispose();
  }
  fs.writeFileSync(made, JSON.stringify(rows));
}

const [action, ...words] = process.argv.slice(2);
await { write, score }[action](...words);

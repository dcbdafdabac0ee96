// A reporter of node:test: each case as a line of JSON, with its error or null.
module.exports = async function* (events) {
  for await (const {type, data} of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const error = data.details.error;
    yield JSON.stringify({name: data.name, error: error ? String(error.cause?.stack ?? error.stack ?? error) : null}) + '\n';
  }
};

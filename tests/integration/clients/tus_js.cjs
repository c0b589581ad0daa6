// Runs tus-js-client for a test: one JSON object of what to do in argv, one JSON line of what came of it on stdout.
'use strict'

const fs = require('fs')
const { PassThrough } = require('stream')
const tus = require('tus-js-client')
const BrowserSource = require('tus-js-client/lib.es5/browser/sources/StreamSource.js').default

const task = JSON.parse(process.argv[2])
const answer = (value) => new Promise((resolve) => process.stdout.write(JSON.stringify(value) + '\n', resolve))

// Everything that a caller may set: endpoint, uploadUrl, chunkSize, metadata, parallelUploads, ...
function options(handlers) {
  const urlStorage = task.urlStorage ? { urlStorage: new tus.FileUrlStorage(task.urlStorage) } : {}
  return { retryDelays: [0, 100, 300, 1000, 3000], ...task.options, ...urlStorage, ...fileReader, ...handlers }
}

// What the client does with a ReadableStream of a browser: it learns of the end only from a read that gives nothing,
// and so its last request has no bytes. (Its reader for streams of Node never returns when one ends on a border.)
const fileReader = task.stream === 'web' ? { fileReader: { openFile: async (input) => new BrowserSource(input) } } : {}

// A file is sliced by the client; a stream has no length, and its end is known only when it is read.
function source() {
  if (task.stream === 'web') return new Blob([fs.readFileSync(task.file)]).stream().getReader()
  if (!task.stream) return fs.createReadStream(task.file)
  const stream = new PassThrough({ highWaterMark: 2 ** 30 }) // read(n) gives n bytes only when so many may wait
  stream.end(fs.readFileSync(task.file))
  return stream
}

function upload({ abortAt, terminate } = {}) {
  return new Promise((resolve, reject) => {
    let requests = 0
    let stopping = false
    const item = new tus.Upload(source(), options({
      onError: reject,
      onBeforeRequest: () => { requests += 1 },
      onSuccess: () => resolve({ url: item.url, requests }),
      onProgress: (sent) => {
        if (abortAt === undefined || sent < abortAt || stopping) return
        stopping = true
        // Not inside of the handler: the request would be ended before the bytes told of have left.
        setImmediate(() => item.abort(terminate).then(() => resolve({ url: item.url, sent, requests }), reject))
      },
    }))
    if (!task.resume) return item.start()
    item.findPreviousUploads().then((found) => {
      if (found.length !== 1) throw new Error(`${found.length} earlier uploads are stored, not one`)
      item.resumeFromPreviousUpload(found[0])
      item.start()
    }).catch(reject)
  })
}

const actions = {
  upload: () => upload(),
  abort: () => upload({ abortAt: task.abortAt }),
  'abort and terminate': () => upload({ abortAt: task.abortAt, terminate: true }),
  terminate: () => tus.Upload.terminate(task.url, options({})).then(() => ({ url: task.url })),
}

actions[task.action]().then(answer).then(
  () => process.exit(0),
  (error) => answer({ error: String(error) }).then(() => process.exit(1)),
)

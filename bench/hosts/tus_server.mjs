// @tus/server with its file store, as its own documentation starts it.
// node tus_server.mjs NODE_MODULES PORT FOLDER
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [modules, port, folder] = process.argv.slice(2)
const resolve = createRequire(`${modules}/package.json`).resolve
const load = (name) => import(pathToFileURL(resolve(name)))
const { Server } = await load('@tus/server')
const { FileStore } = await load('@tus/file-store')

const server = new Server({ path: '/files', datastore: new FileStore({ directory: folder }) })
server.listen({ host: '127.0.0.1', port: Number(port) })

// Starts Gavel as separate processes on a Redis of its own, so that a test can kill one of its nodes.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findBinary, until } from './harness.mjs';

const LOG_BYTES_MAX = 20_000;

/** Starts Redis, a control plane and two nodes with one room; answers its owner, its edge and `stop()`. */
export async function startCluster(room) {
  const folder = mkdtempSync(join(tmpdir(), 'gavel-'));
  const [redis, http, grpc, ...ports] = await freePorts(7);
  const url = `redis://127.0.0.1:${redis}`;
  const endpoint = `http://127.0.0.1:${grpc}`;
  const started = [
    start('redis-server', ['--port', redis, '--bind', '127.0.0.1', '--save', '', '--dir', folder]),
    start(findBinary(), ['control-plane', '--redis-url', url, '--http-listen', `127.0.0.1:${http}`, '--grpc-listen', `127.0.0.1:${grpc}`]),
  ];
  const nodes = ['node-1', 'node-2'].map((id, n) => startNode(id, ports[2 * n], ports[2 * n + 1], url, endpoint));
  started.push(...nodes.map((node) => node.process));
  const stop = async () => {
    await Promise.all(started.map((process) => process.kill('SIGKILL')));
    rmSync(folder, { recursive: true });
  };
  try {
    const verb = (...args) => spawnSync(findBinary(), [...args, '--endpoint', endpoint], { encoding: 'utf8' });
    const create = ['rooms', 'create', room, '--opening-price', '10.00', '--increment', '1.00', '--closes-in', '1h', '--guests', 'bid'];
    await until('both nodes', () => JSON.parse(verb('nodes', 'list', '--json').stdout || '[]').filter((node) => node.live).length === 2);
    await until('the room', () => verb(...create).status === 0);
    const owner = await until('its owner', () => JSON.parse(verb('rooms', 'get', room, '--json').stdout || '{}').owner);
    return { owner: nodes.find((node) => node.id === owner), edge: nodes.find((node) => node.id !== owner), stop };
  } catch (error) {
    const logs = started.map((process) => process.log()).join('\n');
    await stop();
    throw new Error(`${error.message}\n${logs}`);
  }
}

function startNode(id, port, relay, redis, control) {
  const args = ['data-plane', '--redis-url', redis, '--node-id', id, '--http-listen', `127.0.0.1:${port}`,
    '--relay-listen', `127.0.0.1:${relay}`, '--control-endpoint', control];
  return { id, port, ws: `ws://127.0.0.1:${port}/ws`, process: start(findBinary(), args) };
}

function start(command, args) {
  const child = spawn(command, args.map(String), { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  const keep = (data) => { log = (log + data).slice(-LOG_BYTES_MAX); };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  child.on('error', keep);
  const exited = new Promise((resolve) => { child.once('exit', resolve); child.once('error', resolve); });
  return { log: () => log, kill: (signal) => { child.kill(signal); return exited; } };
}

/** One address for several nodes: each connection goes to the first that answers; none goes anywhere while it is shut. */
export async function startBalancer(ports) {
  const open = new Set();
  const state = { isShut: false };
  const server = createServer((client) => {
    open.add(client);
    client.on('close', () => open.delete(client));
    client.on('error', () => client.destroy());
    if (state.isShut) client.destroy();
    else forward(client, ports);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = () => {
    open.forEach((client) => client.destroy());
    return new Promise((resolve) => server.close(resolve));
  };
  return { http: `http://127.0.0.1:${server.address().port}`, state, stop };
}

function forward(client, [port, ...others]) {
  if (port === undefined) return client.destroy();
  const node = connect(port, '127.0.0.1');
  let isConnected = false;
  node.once('connect', () => {
    isConnected = true;
    client.pipe(node).pipe(client);
  });
  node.on('error', () => (isConnected ? client.destroy() : forward(client, others)));
  node.on('close', () => isConnected && client.destroy());
  client.on('close', () => node.destroy());
}

/**
 * Ports that were free a moment ago, below those that systems give to whoever connects: one of those
 * may have become somebody's when a process comes to listen.
 */
async function freePorts(count) {
  const ports = new Set();
  while (ports.size < count) {
    const port = 10_000 + Math.floor(Math.random() * 22_000);
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}

function isFree(port) {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

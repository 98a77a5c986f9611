// Starts a whole Gavel (`gavel dev`) on free ports for a test file, and stops exactly that process.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const CHROMIUM = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';
const CHROMIUM_FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];
const START_MS = 60_000;
const STOP_MS = 10_000;
const LOG_LINES_MAX = 200;

/** The binary under test: $GAVEL_BIN, or what cargo built last. */
export function findBinary() {
  const target = fileURLToPath(new URL('../../target/', import.meta.url));
  const candidates = process.env.GAVEL_BIN ? [process.env.GAVEL_BIN] : [`${target}release/gavel`, `${target}debug/gavel`];
  const found = candidates.find((path) => existsSync(path));
  if (!found) throw new Error(`no gavel binary at ${candidates.join(' or ')}; build it or set GAVEL_BIN`);
  return found;
}

/** Chromium without a screen and without a word to anybody. */
export function launchBrowser() {
  return chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_FLAGS });
}

/** Starts two nodes and a control plane; answers their addresses, `stop()` and `log()`. */
export async function startGavel() {
  const args = ['dev', '--node-ports', '0,0', '--control-ports', '0,0', '--print-json'];
  const child = spawn(findBinary(), args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines = [];
  const keep = (line) => {
    lines.push(line);
    if (lines.length > LOG_LINES_MAX) lines.shift();
  };
  createInterface({ input: child.stderr }).on('line', keep);
  const exited = new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve(`exit code ${code}, signal ${signal}`));
    child.once('error', (error) => resolve(String(error)));
  });
  const addresses = await firstJsonLine(child, keep, exited, lines);
  return { ...addresses, log: () => lines.join('\n'), stop: () => stop(child, exited) };
}

async function firstJsonLine(child, keep, exited, lines) {
  const { promise: deadline, cancel } = timeout(START_MS);
  const line = new Promise((resolve) => {
    createInterface({ input: child.stdout }).on('line', (text) => {
      keep(text);
      if (text.startsWith('{')) resolve(JSON.parse(text));
    });
  });
  const failed = Promise.race([exited, deadline]).then((why) => {
    child.kill('SIGKILL');
    throw new Error(`gavel dev printed no addresses (${why}):\n${lines.join('\n')}`);
  });
  try {
    return await Promise.race([line, failed]);
  } finally {
    cancel();
    failed.catch(() => {});
  }
}

async function stop(child, exited) {
  child.kill('SIGTERM');
  const { promise: deadline, cancel } = timeout(STOP_MS);
  await Promise.race([exited, deadline.then(() => child.kill('SIGKILL'))]);
  cancel();
  return exited;
}

function timeout(ms) {
  let id;
  const promise = new Promise((resolve) => {
    id = setTimeout(() => resolve(`nothing for ${ms} ms`), ms);
  });
  return { promise, cancel: () => clearTimeout(id) };
}

/** Polls until `check` answers something truthy; the last answer is part of the failure. */
export async function until(what, check, withinMs = 15_000) {
  const deadline = performance.now() + withinMs;
  let last;
  do {
    last = await check();
    if (last) return last;
    await new Promise((resolve) => setTimeout(resolve, 25));
  } while (performance.now() < deadline);
  throw new Error(`${what}: not within ${withinMs} ms (last: ${JSON.stringify(last)})`);
}

// OpenFeature's own SDK asks Gavel: over OFREP, and in-process from flagd's stream of documents.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { FlagdProvider } from '@openfeature/flagd-provider';
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OpenFeature } from '@openfeature/server-sdk';
import { findBinary, until } from '../browser/harness.mjs';

const TOKEN = 'hush';
const variants = { red: 'red', green: 'green' };
const colour = (targeting) => ({ state: 'ENABLED', variants, defaultVariant: 'red', ...(targeting && { targeting }) });
const document = {
  flags: {
    colour: colour({ if: [{ '==': [{ var: 'plan' }, 'gold'] }, 'green'] }),
    rollout: colour({ fractional: [['green', 30], ['red', 70]] }),
    size: { state: 'ENABLED', variants: { small: 1, large: 20 }, defaultVariant: 'large' },
    share: { state: 'ENABLED', variants: { x: 0.25 }, defaultVariant: 'x' },
    shape: { state: 'ENABLED', variants: { x: { corners: 4 } }, defaultVariant: 'x' },
    down: { state: 'DISABLED', variants: { on: true }, defaultVariant: 'on' },
  },
};
const open = {};

/** A control plane with nothing else; with a token only who shows it may ask. */
async function startControlPlane(...settings) {
  const args = ['control-plane', '--http-listen', '127.0.0.1:0', '--grpc-listen', '127.0.0.1:0', ...settings];
  const child = spawn(findBinary(), args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, NO_COLOR: '1' } });
  const log = [];
  createInterface({ input: child.stderr }).on('line', (line) => log.push(line));
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const address = (name) => log.join('\n').match(new RegExp(`${name}=(127\\.0\\.0\\.1:\\d+)`))?.[1];
  const listens = () => address('grpc') && { http: address('http'), grpc: address('grpc') };
  const at = await until('its addresses', listens).catch((error) => {
    child.kill('SIGKILL');
    throw new Error(`${error.message}\n${log.join('\n')}`);
  });
  const stop = () => { child.kill('SIGTERM'); return exited; };
  return { ...at, stop };
}

/** Puts a document in force with the command line. */
async function setFlags(plane, flags) {
  const args = ['flags', 'set', '-', '--endpoint', `http://${plane.grpc}`];
  const child = spawn(findBinary(), args, { stdio: ['pipe', 'ignore', 'inherit'], env: { ...process.env, GAVEL_ADMIN_TOKEN: TOKEN } });
  child.stdin.end(JSON.stringify(flags));
  const code = await new Promise((resolve) => child.once('exit', resolve));
  assert.equal(code, 0, 'gavel flags set');
}

async function client(domain, provider) {
  await OpenFeature.setProviderAndWait(domain, provider);
  return OpenFeature.getClient(domain);
}

before(async () => {
  [open.plane, open.guarded] = await Promise.all([startControlPlane(), startControlPlane('--admin-token', TOKEN)]);
  await Promise.all([setFlags(open.plane, document), setFlags(open.guarded, document)]);
  const headers = [['Authorization', `Bearer ${TOKEN}`]];
  open.ofrep = await client('ofrep', new OFREPProvider({ baseUrl: `http://${open.guarded.http}`, headers }));
  const [host, port] = open.plane.grpc.split(':');
  const flagd = { resolverType: 'in-process', host, port: Number(port), cache: 'disabled' };
  open.flagd = await client('flagd', new FlagdProvider(flagd));
});

after(async () => {
  await OpenFeature.close();
  await Promise.all([open.plane, open.guarded].map((plane) => plane?.stop()));
});

for (const way of ['ofrep', 'flagd']) {
  test(`${way}: values of every type come with variant and reason`, async () => {
    const gold = { targetingKey: 'ann', plan: 'gold' };
    const details = await open[way].getStringDetails('colour', 'none', gold);
    assert.deepEqual([details.value, details.variant, details.reason], ['green', 'green', 'TARGETING_MATCH']);
    assert.equal(await open[way].getStringValue('colour', 'none', { targetingKey: 'ann' }), 'red');
    assert.equal(await open[way].getNumberValue('size', 0), 20);
    assert.equal(await open[way].getNumberValue('share', 0), 0.25);
    assert.deepEqual(await open[way].getObjectValue('shape', {}), { corners: 4 });
  });

  test(`${way}: what is not there is the caller's own default`, async () => {
    const none = await open[way].getStringDetails('none', 'mine');
    assert.deepEqual([none.value, none.errorCode], ['mine', 'FLAG_NOT_FOUND']);
    assert.equal(await open[way].getBooleanValue('down', false), false);
    assert.equal((await open[way].getBooleanDetails('size', true)).value, true, 'another type');
  });
}

test('both ways draw the same subjects', async () => {
  const counts = { green: 0, red: 0 };
  for (let n = 0; n < 200; n += 1) {
    const subject = { targetingKey: `user-${n}` };
    const [here, there] = await Promise.all(['ofrep', 'flagd'].map((way) => open[way].getStringValue('rollout', 'none', subject)));
    assert.equal(here, there, subject.targetingKey);
    counts[here] += 1;
  }
  assert.ok(counts.green > 30 && counts.green < 90, JSON.stringify(counts));
});

test('a change reaches both at once', async () => {
  const changed = { flags: { ...document.flags, colour: colour() } };
  changed.flags.colour.defaultVariant = 'green';
  await Promise.all([setFlags(open.plane, changed), setFlags(open.guarded, changed)]);
  assert.equal(await open.ofrep.getStringValue('colour', 'none'), 'green');
  await until('the next document', async () => (await open.flagd.getStringValue('colour', 'none')) === 'green');
});

test('without the token nothing is told', async () => {
  const stranger = await client('stranger', new OFREPProvider({ baseUrl: `http://${open.guarded.http}` }));
  const details = await stranger.getNumberDetails('size', 0);
  assert.deepEqual([details.value, details.reason], [0, 'ERROR']);
});

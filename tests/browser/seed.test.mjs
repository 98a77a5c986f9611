// The seed's own load client, unchanged in behaviour, against `gavel dev`: 1,000 sockets from one
// address, no token, random rooms, a fractional bid each 100 ms from a random socket.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { startGavel, until } from './harness.mjs';

const SOCKETS = 1_000;
const BID_INTERVAL_MS = 100;
const BIDS = 150;

let gavel;
before(async () => { gavel = await startGavel(); });
after(async () => { await gavel?.stop(); });

const randomAuction = () => Math.floor(Math.random() * 10) + 1;
/** A decimal amount in major units: at most two decimals. */
const isDecimal = (amount) => typeof amount === 'number' && Math.abs(amount * 100 - Math.round(amount * 100)) < 1e-6;

function openSocket(url, run) {
  const socket = new WebSocket(url);
  const seen = { socket, joined: null, states: 0, bids: [], answers: [], seq: new Map() };
  socket.on('open', () => {
    run.opened += 1;
    seen.joined = randomAuction();
    socket.send(JSON.stringify({ type: 'joinAuction', auctionId: seen.joined }));
  });
  socket.on('close', (code, reason) => { if (!run.over) run.closed.push(`${code} ${reason}`); });
  socket.on('error', (error) => run.faults.push(String(error)));
  socket.on('message', (data) => onMessage(JSON.parse(data), seen, run));
  return seen;
}

function onMessage(message, seen, run) {
  switch (message.type) {
    case 'batch':
      return message.messages.forEach((inner) => onMessage(inner, seen, run));
    case 'auctionState':
      if (message.auctionId !== seen.joined) run.faults.push(`state of room ${message.auctionId}, joined ${seen.joined}`);
      if (!isDecimal(message.currentBid) || !isDecimal(message.minimumBid)) run.faults.push(`state amounts: ${JSON.stringify(message)}`);
      seen.states += 1;
      return seen.seq.set(message.auctionId, message.seq);
    case 'auctionUpdate':
      return onUpdate(message, seen, run);
    case 'bidAccepted':
    case 'bidRejected':
      return onAnswer(message, seen, run);
    case 'error':
      return run.faults.push(JSON.stringify(message));
  }
}

function onUpdate(message, seen, run) {
  run.updates += 1;
  const known = seen.seq.get(message.auctionId);
  if (!(message.seq > (known ?? Infinity))) run.faults.push(`seq ${message.seq} after ${known} in room ${message.auctionId}`);
  if ('currentBid' in message && !isDecimal(message.currentBid)) run.faults.push(`update amount ${message.currentBid}`);
  seen.seq.set(message.auctionId, message.seq);
}

// A fraction beyond the cent is floored, so the accepted amount is at most a cent below the sent one.
function onAnswer(message, seen, run) {
  seen.answers.push(message.type);
  if (message.type === 'bidRejected') {
    if (!isDecimal(message.minimumBid)) run.faults.push(`rejection: ${JSON.stringify(message)}`);
    return;
  }
  run.accepted += 1;
  const sent = seen.bids.filter((bid) => bid.auctionId === message.auctionId);
  const matches = sent.some((bid) => bid.amount - message.amount > -1e-9 && bid.amount - message.amount < 0.01 + 1e-9);
  if (!matches || !isDecimal(message.amount)) run.faults.push(`accepted ${message.amount}, sent ${JSON.stringify(sent)}`);
}

/** The seed's setInterval, for a fixed number of bids. */
function bidAtIntervals(sockets) {
  return new Promise((resolve) => {
    let turns = 0;
    let sent = 0;
    const timer = setInterval(() => {
      const seen = sockets[Math.floor(Math.random() * sockets.length)];
      if (seen.socket.readyState === WebSocket.OPEN) {
        const bid = { type: 'bid', auctionId: randomAuction(), amount: Math.random() * 1000 };
        seen.bids.push(bid);
        seen.socket.send(JSON.stringify(bid));
        sent += 1;
      }
      turns += 1;
      if (turns < BIDS) return;
      clearInterval(timer);
      resolve(sent);
    }, BID_INTERVAL_MS);
  });
}

test("the seed's load client works unchanged", async (t) => {
  const run = { opened: 0, closed: [], faults: [], updates: 0, accepted: 0, over: false };
  const sockets = Array.from({ length: SOCKETS }, () => openSocket(gavel.nodes[0].ws, run));
  t.after(() => { run.over = true; sockets.forEach(({ socket }) => socket.terminate()); });

  const sent = bidAtIntervals(sockets);
  await until('all sockets open', () => run.opened === SOCKETS || run.closed.length > 0, 30_000);
  await until('every joiner has its state', () => sockets.every((seen) => seen.states > 0) || run.closed.length > 0, 30_000);
  const sentCount = await sent;
  const answered = () => sockets.reduce((sum, seen) => sum + seen.answers.length, 0);
  await until('every bid answered', () => answered() >= sentCount, 10_000);

  assert.deepEqual(run.closed, [], 'no socket was closed');
  assert.equal(run.opened, SOCKETS);
  assert.deepEqual(run.faults.slice(0, 5), []);
  for (const seen of sockets) assert.equal(seen.answers.length, seen.bids.length, 'one answer for each bid');
  assert.ok(sentCount > BIDS / 2, `bids were sent: ${sentCount}`);
  assert.ok(run.accepted > 0, 'some bids were accepted');
  assert.ok(run.updates > 0, 'viewers were told');
  t.diagnostic(`${sentCount} bids, ${run.accepted} accepted, ${run.updates} updates`);
});

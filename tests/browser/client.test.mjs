// The page's client without a browser or a network: a false socket, a hand-moved clock.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { beforeEach, describe, test } from 'node:test';

// The page's modules have no package.json beside them, so node is handed the text as a module.
const source = readFileSync(new URL('../../data-plane/web/client.js', import.meta.url), 'utf8');
const { GavelClient, backoffMs, decimalText, fold, minorDigits, parseAmount, planFor } = await import(
  `data:text/javascript,${encodeURIComponent(source)}`
);

const SERVER_TIME = 1_700_000_000_000;

class FalseSocket {
  static opened = [];
  sent = [];
  constructor(url, protocols) {
    Object.assign(this, { url, protocols });
    FalseSocket.opened.push(this);
  }
  send(text) { this.sent.push(JSON.parse(text)); }
  close(code) { this.closedWith = code ?? 'none'; }
  say(message) { this.onmessage({ data: JSON.stringify(message) }); }
  lose(code) { this.onclose({ code, reason: '' }); }
  of(type) { return this.sent.filter((message) => message.type === type); }
}

/** Timers that run only when the test moves the clock. */
function makeWorld() {
  const timers = new Map();
  let now = 0;
  let nextId = 1;
  return {
    WebSocket: FalseSocket,
    now: () => now,
    random: () => 0.5,
    setTimeout: (run, ms) => { timers.set(nextId, { at: now + ms, run }); return nextId++; },
    clearTimeout: (id) => timers.delete(id),
    advance(ms) {
      const end = now + ms;
      for (;;) {
        const due = [...timers].filter(([, timer]) => timer.at <= end).sort((x, y) => x[1].at - y[1].at)[0];
        if (!due) break;
        timers.delete(due[0]);
        now = due[1].at;
        due[1].run();
      }
      now = end;
    },
  };
}

const state = (fields = {}) => ({
  type: 'auctionState', auctionId: 1, title: 'Desk', currency: 'EUR', state: 'open', currentBid: 1000, currentBidderId: null,
  bidCount: 0, minimumBid: 1000, opensAt: SERVER_TIME, closesAt: SERVER_TIME + 60_000, round: 1, generation: 1, seq: 5,
  viewers: 1, serverTime: SERVER_TIME, ...fields,
});
const update = (seq, fields = {}) => ({ type: 'auctionUpdate', auctionId: 1, seq, ...fields });

let world;
let events;
let client;
const socket = () => FalseSocket.opened.at(-1);
const welcome = (userId = 'guest-a') => socket().say({ type: 'welcome', sessionId: 's', userId, serverTime: SERVER_TIME });
const answers = () => events.filter((event) => event.type === 'bid').map((event) => event.answer.type);

beforeEach(() => {
  FalseSocket.opened = [];
  world = makeWorld();
  events = [];
  client = new GavelClient('ws://node/ws', (event) => events.push(event), world);
  client.join(1);
  client.connect();
});

describe('amounts', () => {
  test('are read without floating point', () => {
    assert.equal(parseAmount('0.29', 'EUR'), 29);
    assert.equal(parseAmount('1234', 'EUR'), 123_400);
    assert.equal(parseAmount('1234,5', 'EUR'), 123_450);
    assert.equal(parseAmount('1 234.50', 'EUR'), 123_450);
    assert.equal(parseAmount('500', 'JPY'), 500);
  });
  test('that are not amounts are refused', () => {
    for (const text of ['', '-1', '1e3', 'NaN', '1.234', '1,000.00', '.5', '1.', '99999999999999999', '999999999999999', '€5']) {
      assert.equal(parseAmount(text, 'EUR'), null, text);
    }
    assert.equal(parseAmount('1.5', 'JPY'), null);
  });
  test('survive the way to text and back', () => {
    for (const minor of [0, 1, 9, 10, 99, 100, 123_456, 2 ** 53 - 1]) {
      assert.equal(parseAmount(decimalText(minor, 'EUR'), 'EUR'), minor);
      assert.equal(parseAmount(decimalText(minor, 'JPY'), 'JPY'), minor <= 999_999_999_999_999 ? minor : null);
    }
    assert.equal(minorDigits('no currency'), 2);
  });
});

describe('close codes', () => {
  test('say whether to come back', () => {
    for (const code of [1000, 1002, 1003, 1007, 1009, 4401, 4403, 4400, 4499]) assert.equal(planFor(code).reconnect, false, code);
    for (const code of [1001, 1005, 1006, 1008, 1011, 1012, 1013, 4000, 4399, 4408, 4429]) assert.equal(planFor(code).reconnect, true, code);
  });
  test('that mean "later" never bring the client back at once', () => {
    for (const code of [1008, 1013, 4429]) assert.ok(backoffMs(planFor(code), 0, () => 0) >= 5_000);
    assert.equal(backoffMs(planFor(1012), 0, () => 0), 0);
  });
  test('back off with full jitter under a cap', () => {
    const plan = planFor(1006);
    assert.deepEqual([0, 1, 2, 3].map((attempt) => backoffMs(plan, attempt, () => 1)), [500, 1000, 2000, 4000]);
    assert.equal(backoffMs(plan, 1_000_000, () => 1), plan.capMs);
    assert.equal(backoffMs(plan, 3, () => 0.25), 1000);
  });
});

describe('fold', () => {
  const room = fold(null, state(), 0).room;
  test('applies the next update and keeps what did not change', () => {
    const { room: next, verdict } = fold(room, update(6, { currentBid: 1100, currentBidderId: 'x', bidCount: 1, minimumBid: 1200 }), 7);
    assert.equal(verdict, 'applied');
    assert.deepEqual([next.currentBid, next.title, next.seq], [1100, 'Desk', 6]);
    assert.deepEqual(next.history, [{ seq: 6, amount: 1100, bidderId: 'x', bidCount: 1, at: 7 }]);
  });
  test('ignores what it knows and reports a gap', () => {
    assert.equal(fold(room, update(5, { currentBid: 1 }), 0).verdict, 'stale');
    assert.equal(fold(room, update(7, { currentBid: 1 }), 0).verdict, 'gap');
    assert.equal(fold(room, update(7, { currentBid: 1 }), 0).room, room);
    assert.equal(fold(null, update(1), 0).verdict, 'gap');
    assert.equal(fold(null, { type: 'auctionResumed', generation: 1, from: 0 }, 0).verdict, 'gap');
    assert.deepEqual(fold(room, state({ seq: 4, currentBid: 900 }), 0), { room, verdict: 'older' });
  });
  test('believes a close across a gap, but asks for the rest', () => {
    const close = { type: 'auctionClosed', auctionId: 1, seq: 9, winner: 'x', amount: 1100, reserveMet: true };
    const { room: closed, verdict } = fold(room, close, 0);
    assert.deepEqual([closed.state, closed.winner, closed.seq, verdict], ['closed', 'x', 5, 'gap']);
    assert.equal(fold(room, { ...close, seq: 4 }, 0).room.state, 'open');
  });
  test('starts a new history with a new round', () => {
    const bid = fold(room, update(6, { currentBid: 1100, bidCount: 1 }), 0).room;
    const reopened = fold(bid, update(7, { round: 2, state: 'open', bidCount: 0, currentBid: 1000 }), 0).room;
    assert.deepEqual(reopened.history, []);
  });
  test('does not repeat a bid after a fresh snapshot', () => {
    const bid = fold(room, update(6, { currentBid: 1100, bidCount: 1 }), 0).room;
    assert.equal(fold(bid, state({ seq: 6, currentBid: 1100, bidCount: 1 }), 0).room.history.length, 1);
  });
});

describe('a session', () => {
  test('asks for the strict dialect and joins after the welcome', () => {
    assert.deepEqual(socket().protocols, ['gavel.v1.json']);
    assert.equal(socket().sent.length, 0);
    welcome();
    assert.deepEqual(socket().of('joinAuction'), [{ type: 'joinAuction', auctionId: 1 }]);
  });
  test('comes back as the guest it was', () => {
    socket().say({ type: 'welcome', sessionId: 's', userId: 'guest-a', guestToken: 'secret', serverTime: SERVER_TIME });
    assert.ok(client.isMe('guest-a') && !client.isMe('guest-b') && !client.isMe(null));
    socket().lose(1006);
    world.advance(250);
    assert.deepEqual(socket().protocols, ['gavel.v1.json', 'guest.secret']);
  });
  test('reads batches in order', () => {
    welcome();
    socket().say({ type: 'batch', messages: [state(), update(6, { currentBid: 1100, bidCount: 1 }), update(7, { currentBid: 1200, bidCount: 2 })] });
    assert.equal(client.room(1).currentBid, 1200);
    assert.equal(client.room(1).history.length, 2);
  });
  test('knows how much of a room there is, until it comes back', () => {
    welcome();
    socket().say(state());
    const degraded = (auctionId, level) => socket().say({ type: 'degraded', auctionId, level, staleMs: 1200 });
    assert.equal(client.level(1), 'full');
    degraded(1, 'paused');
    assert.equal(client.level(1), 'paused');
    degraded(2, 'paused');
    assert.deepEqual(events.filter((event) => event.type === 'degraded').map((event) => event.auctionId), [1]);
    degraded(1, 'full');
    assert.equal(client.level(1), 'full');
    degraded(1, 'paused');
    socket().lose(1006);
    world.advance(250);
    welcome();
    assert.equal(client.level(1), 'full');
  });
  test('rejoins once on a gap and waits for the snapshot', () => {
    welcome();
    socket().say(state());
    socket().say(update(8, { currentBid: 1300 }));
    socket().say(update(9, { currentBid: 1400 }));
    assert.equal(socket().of('joinAuction').length, 2);
    assert.equal(client.room(1).currentBid, 1000);
    socket().say(state({ seq: 9, currentBid: 1400, bidCount: 4 }));
    socket().say(update(10, { currentBid: 1500, bidCount: 5 }));
    assert.equal(client.room(1).currentBid, 1500);
    assert.equal(socket().of('joinAuction').length, 2);
  });
  test('asks again when a snapshot does not come', () => {
    welcome();
    world.advance(5_000);
    assert.equal(socket().of('joinAuction').length, 2);
    socket().say({ type: 'pong', serverTime: SERVER_TIME });
    world.advance(9_999);
    assert.equal(socket().of('joinAuction').length, 2);
    world.advance(1);
    assert.equal(socket().of('joinAuction').length, 3);
  });
  test('keeps the server time of the shortest round trip', () => {
    welcome();
    const { t } = socket().of('ping')[0];
    world.advance(40);
    socket().say({ type: 'pong', t, serverTime: SERVER_TIME + 1_020 });
    assert.equal(client.serverNow(), SERVER_TIME + 1_040);
    assert.equal(client.roundTripMs(), 40);
  });
  test('is given up when a ping stays unanswered', () => {
    welcome();
    world.advance(8_000);
    assert.ok(FalseSocket.opened[0].closedWith);
    assert.equal(client.status.state, 'waiting');
    world.advance(15_000);
    assert.ok(FalseSocket.opened.length >= 2);
  });
  test('ignores the late words of a socket it gave up', () => {
    welcome();
    const old = socket();
    world.advance(8_300);
    assert.notEqual(socket(), old);
    old.lose(4403);
    old.say(state());
    assert.equal(client.status.state, 'connecting');
    assert.equal(client.room(1), null);
  });
  test('stays away when the code says so, until asked', () => {
    welcome();
    socket().lose(4403);
    world.advance(600_000);
    assert.equal(FalseSocket.opened.length, 1);
    assert.equal(client.status.state, 'stopped');
    client.connect();
    assert.equal(FalseSocket.opened.length, 2);
  });
  test("adds the server's hint to its own jitter", () => {
    welcome();
    socket().say({ type: 'reconnect', afterMs: 3_000, reason: 'drain' });
    socket().lose(1012);
    world.advance(3_249);
    assert.equal(FalseSocket.opened.length, 1);
    world.advance(1);
    assert.equal(FalseSocket.opened.length, 2);
  });
  test('goes once to where the owner is, and then to where it was told', () => {
    welcome();
    socket().say(state({ suggested: 'https://node-2.example/' }));
    const urls = [];
    for (let n = 0; n < 2; n += 1) {
      socket().lose(1006);
      world.advance(1_000);
      urls.push(socket().url);
    }
    assert.deepEqual(urls, ['wss://node-2.example/ws', 'ws://node/ws']);
  });

  test('doubles its waits while sessions are short, and starts anew after a steady one', () => {
    const waits = [];
    for (let turn = 0; turn < 3; turn += 1) {
      socket().lose(1006);
      waits.push(client.status.waitMs);
      world.advance(client.status.waitMs);
    }
    assert.deepEqual(waits, [250, 500, 1000]);
    welcome();
    socket().say({ type: 'pong', serverTime: SERVER_TIME });
    world.advance(10_000);
    socket().say({ type: 'pong', serverTime: SERVER_TIME });
    socket().lose(1006);
    assert.equal(client.status.waitMs, 250);
  });
});

describe('a room', () => {
  const resumed = (from, seq, fields = {}) =>
    ({ type: 'auctionResumed', auctionId: 1, generation: 1, from, seq, viewers: 3, serverTime: SERVER_TIME, ...fields });
  const comeBack = () => {
    socket().lose(1006);
    world.advance(250);
    welcome();
  };
  const asks = () => socket().of('joinAuction');
  const prices = () => events.filter((event) => event.type === 'room').map((event) => event.room.currentBid);

  beforeEach(() => {
    welcome();
    socket().say(state());
    socket().say(update(6, { currentBid: 1100, bidCount: 1 }));
  });

  test('is joined again from where it is, and goes on without a snapshot', () => {
    comeBack();
    assert.deepEqual(asks(), [{ type: 'joinAuction', auctionId: 1, generation: 1, seq: 6 }]);
    socket().say({ type: 'batch', messages: [resumed(6, 8), update(7, { currentBid: 1200, bidCount: 2 }), update(8, { currentBid: 1300, bidCount: 3 })] });
    assert.deepEqual([client.room(1).currentBid, client.room(1).seq, client.room(1).viewers], [1300, 8, 3]);
    assert.deepEqual(client.room(1).history.map((entry) => entry.amount), [1300, 1200, 1100]);
    world.advance(7_000);
    assert.equal(asks().length, 1);
  });
  test('asks for what is missing, with what it knows', () => {
    socket().say(update(9, { currentBid: 1400, bidCount: 4 }));
    assert.deepEqual(asks().at(-1), { type: 'joinAuction', auctionId: 1, generation: 1, seq: 6 });
    socket().say(resumed(6, 9));
    for (const seq of [7, 8, 9]) socket().say(update(seq, { currentBid: 500 + seq * 100, bidCount: seq - 5 }));
    assert.equal(client.room(1).currentBid, 1400);
    assert.deepEqual(prices(), [1000, 1100, 1100, 1200, 1300, 1400]);
    assert.equal(asks().length, 2);
  });
  test('ignores what comes a second time', () => {
    comeBack();
    socket().say(resumed(4, 7));
    for (const seq of [5, 6, 7]) socket().say(update(seq, { currentBid: seq * 100, bidCount: seq }));
    assert.deepEqual([client.room(1).seq, prices()], [7, [1000, 1100, 1100, 700]]);
  });
  test('asks for everything where the answer does not begin at what it knows', () => {
    for (const answer of [resumed(7, 9), resumed(6, 6, { generation: 2 })]) {
      comeBack();
      socket().say(answer);
      assert.deepEqual(asks().at(-1), { type: 'joinAuction', auctionId: 1 });
      socket().say(state({ seq: 6, currentBid: 1100, bidCount: 1 }));
    }
  });
  test('takes the state of another generation as it is', () => {
    comeBack();
    socket().say(state({ generation: 2, seq: 2, currentBid: 1000 }));
    assert.deepEqual([client.room(1).generation, client.room(1).seq, client.room(1).currentBid], [2, 2, 1000]);
  });
  test('never shows a price that goes back while the node lags behind', () => {
    comeBack();
    socket().say(state());
    assert.equal(client.room(1).currentBid, 1100);
    world.advance(1_000);
    assert.equal(asks().length, 2);
    socket().say(update(6, { currentBid: 1100, bidCount: 1 }));
    socket().say(update(7, { currentBid: 1200, bidCount: 2 }));
    assert.deepEqual(prices(), [1000, 1100, 1200]);
    world.advance(6_000);
    assert.equal(asks().length, 2);
  });
  test('believes in the end that a history was cut', () => {
    comeBack();
    for (let asked = 1; asked < 10; asked += 1) {
      socket().say(state());
      assert.equal(client.room(1).seq, 6);
      world.advance(1_000);
      socket().say({ type: 'pong', serverTime: SERVER_TIME });
      assert.equal(asks().length, asked + 1);
    }
    socket().say(state());
    assert.deepEqual([client.room(1).seq, client.room(1).currentBid], [5, 1000]);
  });
});

describe('a bid', () => {
  const accept = (bid) => socket().say({ type: 'bidAccepted', auctionId: 1, bidId: bid.bidId, seq: 6, amount: bid.amount });

  test('is sent in minor units under an id of its own and settled once', () => {
    welcome();
    const bid = client.bid(1, 1100);
    assert.deepEqual(socket().of('bid'), [{ type: 'bid', auctionId: 1, amount: 1100, bidId: bid.bidId }]);
    assert.match(bid.bidId, /^[A-Za-z0-9_-]{1,64}$/);
    assert.notEqual(client.bid(2, 1100).bidId, bid.bidId);
    accept(bid);
    accept(bid);
    assert.deepEqual(answers(), ['bidAccepted']);
    assert.equal(client.pendingBid(1), null);
  });
  test('keeps its id over a reconnect', () => {
    welcome();
    socket().say(state());
    const bid = client.bid(1, 1100);
    socket().lose(1006);
    world.advance(250);
    welcome();
    assert.deepEqual(socket().of('bid').map((message) => message.bidId), [bid.bidId]);
    accept(bid);
    world.advance(4_000);
    assert.equal(socket().of('bid').length, 1);
  });
  test('without an answer is sent again on the same socket', () => {
    welcome();
    socket().say({ type: 'pong', serverTime: SERVER_TIME });
    const bid = client.bid(1, 1100);
    world.advance(4_000);
    assert.deepEqual(socket().of('bid').map((message) => message.bidId), [bid.bidId, bid.bidId]);
  });
  test('made while there is no socket goes out with the next session', () => {
    const bid = client.bid(1, 1100);
    assert.equal(socket().sent.length, 0);
    welcome();
    assert.deepEqual(socket().of('bid').map((message) => message.bidId), [bid.bidId]);
  });
  test('is not retried for ever', () => {
    client.bid(1, 1100);
    socket().lose(4403);
    world.advance(60_000);
    assert.deepEqual(answers(), ['unanswered']);
    assert.equal(client.pendingBid(1), null);
  });
  test('that was rejected is settled with the reason', () => {
    welcome();
    const bid = client.bid(1, 1);
    socket().say({ type: 'bidRejected', auctionId: 1, bidId: bid.bidId, reason: 'too_low', currentBid: 1000, minimumBid: 1000, seq: 5 });
    assert.equal(events.at(-1).answer.reason, 'too_low');
  });
});

describe('tokens', () => {
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  const hello = (expiresAt) =>
    socket().say({ type: 'welcome', sessionId: 's', userId: 'anna', serverTime: SERVER_TIME, tokenExpiresAt: expiresAt });
  let given;

  beforeEach(() => {
    FalseSocket.opened = [];
    world = makeWorld();
    given = 0;
    const token = async () => `t${++given}`;
    client = new GavelClient('ws://node/ws', (event) => events.push(event), { ...world, token });
    client.join(1);
  });

  test('are shown when the socket opens and before they expire', async () => {
    client.connect();
    await settled();
    assert.deepEqual(socket().protocols, ['gavel.v1.json', 'bearer.t1']);
    hello(SERVER_TIME + 5_000);
    world.advance(3_999);
    await settled();
    assert.equal(socket().of('auth').length, 0);
    world.advance(1);
    await settled();
    assert.deepEqual(socket().of('auth'), [{ type: 'auth', token: 't2' }]);
    hello(SERVER_TIME + 20_000);
    assert.equal(socket().of('joinAuction').length, 1, 'the session is the same');
  });

  test('are asked for anew when one has expired', async () => {
    client.connect();
    await settled();
    hello(SERVER_TIME + 5_000);
    socket().lose(4401);
    world.advance(15_000);
    await settled();
    assert.deepEqual(socket().protocols, ['gavel.v1.json', 'bearer.t2']);
  });

  test('that come too late open nothing', async () => {
    client.connect();
    client.stop();
    await settled();
    assert.equal(FalseSocket.opened.length, 0);
  });

  test('that cannot be had are tried for again', async () => {
    let fails = true;
    const token = async () => (fails ? Promise.reject(new Error('away')) : 't');
    client = new GavelClient('ws://node/ws', (event) => events.push(event), { ...world, token });
    client.connect();
    await settled();
    assert.equal(FalseSocket.opened.length, 0);
    assert.equal(client.status.state, 'waiting');
    fails = false;
    world.advance(15_000);
    await settled();
    assert.equal(FalseSocket.opened.length, 1);
  });
});

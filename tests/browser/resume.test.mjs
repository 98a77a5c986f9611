// The node that holds a page's socket is killed, and the page goes on at another node from where it was.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { startBalancer, startCluster } from './cluster.mjs';
import { launchBrowser, until } from './harness.mjs';

const ROOM = '1';

/** Keeps every price that the page shows, and every room message of each of its sockets. */
async function watch(browser, url) {
  const page = await (await browser.newContext({ locale: 'en-GB' })).newPage();
  const sockets = [];
  page.on('websocket', (socket) => {
    const messages = [];
    sockets.push(messages);
    socket.on('framereceived', ({ payload }) => {
      const message = JSON.parse(payload);
      messages.push(...(message.messages ?? [message]).filter((one) => String(one.auctionId) === ROOM));
    });
  });
  await page.goto(`${url}/#${ROOM}`);
  const price = page.getByTestId('price');
  await until('the auction', async () => (await price.textContent()) !== '–');
  await price.evaluate((node) => {
    const read = () => Number(node.textContent.replace(/[^0-9.]/g, ''));
    globalThis.prices = [read()];
    new MutationObserver(() => globalThis.prices.push(read())).observe(node, { childList: true, characterData: true, subtree: true });
  });
  return { page, sockets, prices: () => page.evaluate(() => globalThis.prices) };
}

/** Bids by two guests in turn, each until it is accepted: the auction may have no owner for a moment. */
async function bidder(node) {
  const guests = await Promise.all([0, 1].map(() => openSocket(node.ws)));
  let bids = 0;
  const bid = async (amount) => {
    const { socket, accepted } = guests[bids % 2];
    const bidId = `b-${(bids += 1)}`;
    await until(`bid ${bidId}`, () => {
      if (accepted.has(bidId)) return true;
      socket.send(JSON.stringify({ type: 'bid', auctionId: ROOM, amount, bidId }));
      return false;
    }, 30_000);
  };
  return { bid, close: () => guests.forEach(({ socket }) => socket.terminate()) };
}

function openSocket(url) {
  const socket = new WebSocket(url, ['gavel.v1.json']);
  const accepted = new Set();
  socket.on('message', (data) => {
    const message = JSON.parse(data);
    for (const one of message.messages ?? [message]) if (one.type === 'bidAccepted') accepted.add(one.bidId);
  });
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve({ socket, accepted }));
    socket.once('error', reject);
  });
}

for (const role of ['edge', 'owner']) {
  test(`a page goes on from where it was when its node, the room's ${role}, is killed`, async (t) => {
    const cluster = await startCluster(ROOM);
    t.after(cluster.stop);
    const holder = cluster[role];
    const survivor = role === 'edge' ? cluster.owner : cluster.edge;
    const balancer = await startBalancer([holder.port, survivor.port]);
    t.after(balancer.stop);
    const browser = await launchBrowser();
    t.after(() => browser.close());
    const seen = await watch(browser, balancer.http);
    const { bid, close } = await bidder(survivor);
    t.after(close);
    await bid(1_000);
    await bid(1_100);
    await until('the second bid', async () => (await seen.prices()).at(-1) === 11);

    balancer.state.isShut = true;
    await holder.process.kill('SIGKILL');
    await bid(1_200);
    await bid(1_300);
    const before = seen.sockets.length;
    balancer.state.isShut = false;
    await until('the fourth bid', async () => (await seen.prices()).at(-1) === 13, 30_000);
    await bid(1_400);
    await until('the fifth bid', async () => (await seen.prices()).at(-1) === 14);

    const messages = seen.sockets.slice(before).flat();
    assert.deepEqual(messages.map((message) => message.type), ['auctionResumed', 'auctionUpdate', 'auctionUpdate', 'auctionUpdate']);
    const { from, generation } = messages[0];
    const [state] = seen.sockets[0];
    assert.equal(generation, state.generation);
    assert.deepEqual(messages.slice(1).map((message) => message.seq - from), [1, 2, 3]);
    const prices = await seen.prices();
    assert.deepEqual(prices, [...prices].sort((a, b) => a - b), 'no price went back');
  });
}

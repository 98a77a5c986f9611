// The demo page in a real browser: two pages on two nodes of one `gavel dev`.

import assert from 'node:assert/strict';
import { after, before, beforeEach, afterEach, test } from 'node:test';
import { launchBrowser, startGavel, until } from './harness.mjs';

let gavel;
let browser;
let pages = [];
let complaints = [];

before(async () => {
  gavel = await startGavel();
  browser = await launchBrowser();
});
after(async () => {
  await browser?.close();
  await gavel?.stop();
});
beforeEach(() => { complaints = []; });
afterEach(async () => {
  await Promise.all(pages.map((page) => page.context().close()));
  pages = [];
});

/** A visitor of their own (no shared cache or storage), whose console must stay clean. */
async function visit(node, hash = '', options = {}) {
  const context = await browser.newContext({ locale: 'en-GB', ...options });
  const page = await context.newPage();
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) complaints.push(message.text()); });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => { if (!request.url().startsWith(node.http)) complaints.push(`foreign: ${request.url()}`); });
  pages.push(page);
  await page.goto(`${node.http}/${hash}`);
  await waitState(page, 'open');
  return page;
}

const text = (page, id) => page.getByTestId(id).textContent();
const waitState = (page, state) => page.waitForSelector(`[data-testid=connection][data-state=${state}]`);
const noticeKind = (page) => page.getByTestId('notice').getAttribute('data-kind');
/** The number in a price such as "€1,234.50". */
const numberIn = (price) => Number(price.replace(/[^0-9.]/g, ''));

async function waitNotice(page, kind) {
  await until(`notice ${kind}`, async () => (await noticeKind(page)) === kind);
  return text(page, 'notice');
}

/** Bids the minimum and waits for the answer; answers the amount. */
async function bidMinimum(page) {
  await page.getByTestId('quick-0').click();
  const amount = numberIn(await text(page, 'quick-0'));
  await page.getByTestId('bid-button').click();
  assert.match(await waitNotice(page, 'accepted'), /accepted/);
  return amount;
}

test('a bid on one node appears on the other, and back', async () => {
  const [a, b] = await Promise.all([visit(gavel.nodes[0], '#1'), visit(gavel.nodes[1], '#1')]);
  await until('both know the auction', async () => (await text(a, 'title')) === (await text(b, 'title')) && (await text(a, 'price')) !== '–');

  const first = await bidMinimum(a);
  await until('the price on the other node', async () => numberIn(await text(b, 'price')) === first);
  assert.equal(numberIn(await b.getByTestId('history-item').first().locator('.amount').textContent()), first);
  assert.notEqual(await b.getByTestId('history-item').first().locator('.bidder').textContent(), 'You');
  assert.match(await text(a, 'holder'), /You hold it/);

  const second = await bidMinimum(b);
  assert.ok(second > first);
  assert.match(await waitNotice(a, 'outbid'), /outbid/);
  await until('the price comes back', async () => numberIn(await text(a, 'price')) === second);
  await until('both histories agree', async () => {
    const rows = await Promise.all([a, b].map((page) => page.getByTestId('history-item').locator('.amount').allTextContents()));
    return rows[0].length >= 2 && rows[0].slice(0, 2).join() === rows[1].slice(0, 2).join();
  });
  assert.deepEqual(complaints, []);
});

test('a bid below the minimum is rejected with the reason', async () => {
  const page = await visit(gavel.nodes[1], '#2');
  await until('the auction', async () => (await text(page, 'minimum')) !== '–');
  await page.getByTestId('bid-amount').fill('0.01');
  await page.getByTestId('bid-amount').press('Enter');
  assert.match(await waitNotice(page, 'rejected'), /below the minimum/);
  assert.equal(await page.getByTestId('history-item').count(), 0);

  await page.getByTestId('bid-amount').fill('1e3');
  assert.match(await text(page, 'bid-hint'), /Write the amount like/);
  assert.deepEqual(complaints, []);
});

test('the overview lists ten auctions with live prices', async () => {
  const [watcher, bidder] = await Promise.all([visit(gavel.nodes[0]), visit(gavel.nodes[1], '#3')]);
  for (let id = 1; id <= 10; id += 1) {
    await until(`price of ${id}`, async () => (await text(watcher, `card-${id}-price`)) !== '–');
  }
  const amount = await bidMinimum(bidder);
  await until('the card moves', async () => numberIn(await text(watcher, 'card-3-price')) === amount);
  await watcher.getByTestId('card-3').press('Enter');
  await until('the detail opens', () => watcher.getByTestId('detail').isVisible());
  assert.match(await text(watcher, 'countdown'), /\d/);
  assert.deepEqual(complaints, []);
});

test('a lost socket comes back by itself, and an unanswered bid goes out again as the same bid', async () => {
  const context = await browser.newContext({ locale: 'en-GB' });
  const page = await context.newPage();
  pages.push(page);
  // The route stands between page and node: it can lose a bid and cut the socket.
  const bids = [];
  let cut = null;
  let losing = false;
  await page.routeWebSocket(/\/ws$/, (socket) => {
    const node = socket.connectToServer();
    socket.onMessage((data) => {
      const message = JSON.parse(data);
      if (message.type === 'bid') bids.push(message);
      if (message.type !== 'bid' || !losing) node.send(data);
    });
    cut = () => socket.close({ code: 1012, reason: 'Node restarts' });
  });
  await page.goto(`${gavel.nodes[0].http}/#4`);
  await waitState(page, 'open');
  await until('the auction', async () => (await text(page, 'minimum')) !== '–');

  losing = true;
  await page.getByTestId('bid-button').click();
  await until('the lost bid', () => bids.length === 1);
  assert.match(await text(page, 'notice'), /Sending/);
  losing = false;
  await cut();
  await until('the retry', () => bids.length >= 2);
  assert.match(await waitNotice(page, 'accepted'), /accepted/);
  assert.equal(bids[1].bidId, bids[0].bidId);
  assert.equal(bids[1].amount, bids[0].amount);
  await waitState(page, 'open');
});

test('the clock alone never shows an auction as closed', async () => {
  const context = await browser.newContext({ locale: 'en-GB' });
  const page = await context.newPage();
  pages.push(page);
  // The snapshot's closing time is moved into the past; no close event follows.
  await page.routeWebSocket(/\/ws$/, (socket) => {
    const node = socket.connectToServer();
    socket.onMessage((data) => node.send(data));
    node.onMessage((data) => socket.send(data.replace(/"closesAt":\d+/g, '"closesAt":1')));
  });
  await page.goto(`${gavel.nodes[0].http}/#5`);
  await until('closing…', async () => (await text(page, 'countdown')) === 'closing…');
  assert.equal(await text(page, 'state'), 'closing…');
  assert.doesNotMatch(await page.getByTestId('detail').innerText(), /\bclosed\b|\bended\b/i);
});

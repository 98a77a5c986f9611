// The demo page: ten auctions, and a closer look at one. All protocol work is in client.js;
// this file only draws what the client knows and turns clicks into bids.

import { GavelClient, decimalText, formatAmount, parseAmount } from '/client.js';

const AUCTION_IDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
const TICK_MS = 200;
const URGENT_MS = 10_000;
const TOAST_MS = 7_000;
const EXTENDED_NOTE_MS = 15_000;

const REASONS = {
  too_low: 'That is below the minimum.',
  closed: 'The auction is closed.',
  paused: 'The auction is paused.',
  not_open: 'The auction is not open yet.',
  own_bid: 'You already hold the high bid.',
  invalid_amount: 'The server could not read that amount.',
  seller: 'The seller may not bid.',
  too_many_bids: 'This auction takes no more bids.',
  rate_limited: 'You are bidding too fast.',
  forbidden: 'You may not bid here.',
  unknown_room: 'There is no such auction.',
  unavailable: 'The auction cannot take bids right now, and your bid was not counted.',
};

const $ = (id) => document.getElementById(id);
const cards = new Map();
const notices = new Map();
/** What the visitor typed, by auction; absent while the field follows the minimum. */
const drafts = new Map();
let selectedId = null;
/** The room object the history list shows; rooms are replaced, never changed, so identity tells. */
let drawnRoom = null;
/** When a late bid last moved a closing time, by auction. */
const extendedAt = new Map();

const client = new GavelClient(
  `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`,
  onEvent,
);

// === Events from the client ===

function onEvent(event) {
  switch (event.type) {
    case 'status':
      return drawConnection();
    case 'room':
      return onRoom(event);
    case 'bid':
      return onAnswer(event.bid, event.answer);
    case 'outbid':
      return onOutbid(event);
    case 'degraded':
      return event.auctionId === selectedId ? drawNotice() : undefined;
    case 'error':
      return toast('rejected', `The server says: ${event.message}`);
  }
}

function onRoom({ room, before, cause }) {
  const id = room.auctionId;
  const isNewRound = before && before.round !== room.round;
  if (isNewRound || (before?.state === 'closed' && room.state !== 'closed')) notices.delete(id);
  if (before && before.state !== 'closed' && room.state === 'closed' && client.isMe(room.winner)) {
    notify(id, 'accepted', `You won at ${money(room.currentBid, room)}.`);
  }
  if (cause.timeExtended) extendedAt.set(id, performance.now());
  drawCard(room);
  if (before && before.currentBid !== room.currentBid) flash(cards.get(id)?.price);
  if (id !== selectedId) return;
  drawDetail();
  if (before && before.currentBid !== room.currentBid) flash($('price'));
}

function onAnswer(bid, answer) {
  const room = client.room(bid.auctionId);
  const amount = money(bid.amount, room);
  if (answer.type === 'bidAccepted') {
    const isBehind = room && room.currentBid > bid.amount;
    drafts.delete(bid.auctionId);
    if (!isBehind) notify(bid.auctionId, 'accepted', `Your bid of ${amount} was accepted.`);
    else notify(bid.auctionId, 'outbid', `Your bid of ${amount} was accepted, but a higher one followed.`);
  } else if (answer.type === 'bidRejected') {
    const minimum = answer.reason === 'too_low' ? ` Bid at least ${money(answer.minimumBid, room)}.` : '';
    const wait = answer.retryAfterMs > 0 ? ` Try again in ${Math.ceil(answer.retryAfterMs / 1000)} s.` : '';
    const why = REASONS[answer.reason] ?? 'The server refused it.';
    notify(bid.auctionId, 'rejected', `Your bid of ${amount} was rejected. ${why}${minimum}${wait}`);
  } else {
    notify(bid.auctionId, 'rejected', `No answer came to your bid of ${amount}. The price shows whether it counted.`);
  }
  if (bid.auctionId === selectedId) drawDetail();
}

function onOutbid(message) {
  const room = client.room(message.auctionId);
  notify(message.auctionId, 'outbid', `You were outbid. The high bid is now ${money(message.currentBid, room)}.`);
}

// A notice belongs to an auction; one about an auction that is out of sight is shown as a toast too.
function notify(id, kind, text) {
  notices.set(id, { kind, text });
  const room = client.room(id);
  if (room) drawCard(room);
  if (id === selectedId) drawNotice();
  else toast(kind, `${room?.title ?? `Auction ${id}`}: ${text}`, id);
}

function toast(kind, text, id) {
  const node = element(id ? 'a' : 'div', 'toast', text);
  node.dataset.kind = kind;
  node.dataset.testid = 'toast';
  if (id) node.href = `#${id}`;
  $('toasts').append(node);
  while ($('toasts').childElementCount > 3) $('toasts').firstElementChild.remove();
  setTimeout(() => node.remove(), TOAST_MS);
}

// === Connection ===

function drawConnection() {
  const status = client.status;
  $('connection').dataset.state = status.state;
  const texts = { idle: 'Not connected', connecting: 'Connecting…', open: 'Live', waiting: 'Reconnecting', stopped: 'Disconnected' };
  setText($('connection-text'), texts[status.state]);
  setText($('connection-detail'), connectionDetail(status));
  $('connection').title = status.why ?? '';
  $('reconnect').hidden = status.state !== 'waiting' && status.state !== 'stopped';
  $('who').hidden = !status.userId;
  if (status.userId) setText($('who'), `You are ${status.userId}`);
  if (selectedId !== null) drawDetail();
}

function connectionDetail(status) {
  const rtt = client.roundTripMs();
  if (status.state === 'open') return rtt === null ? '' : `${Math.max(1, Math.round(rtt))} ms`;
  if (status.state !== 'waiting') return status.why ?? '';
  const left = Math.max(0, status.until - performance.now());
  return `in ${Math.ceil(left / 1000)} s`;
}

// === The overview ===

function makeCard(id) {
  const link = element('a', 'card');
  link.href = `#${id}`;
  link.dataset.testid = `card-${id}`;
  const art = element('div', 'art');
  art.style.setProperty('--hue', hueOf(id));
  art.append(element('span', 'art-number', `№ ${id}`));
  const card = { link, title: element('span', 'card-title', `Auction ${id}`), price: element('span', 'card-price', '–'),
    time: element('span', 'card-time', '–'), foot: element('span', 'card-foot') };
  card.price.dataset.testid = `card-${id}-price`;
  card.time.dataset.testid = `card-${id}-time`;
  const line = element('span', 'card-line');
  line.append(card.price, card.time);
  const body = element('div', 'card-body');
  body.append(card.title, line, card.foot);
  link.append(art, body);
  const item = element('li');
  item.append(link);
  $('grid').append(item);
  cards.set(id, card);
}

function drawCard(room) {
  const card = cards.get(room.auctionId);
  if (!card) return;
  setText(card.title, room.title);
  setText(card.price, money(room.currentBid, room));
  const isMine = client.isMe(room.currentBidderId);
  const wasOutbid = !isMine && notices.get(room.auctionId)?.kind === 'outbid';
  card.foot.dataset.kind = isMine ? 'mine' : wasOutbid ? 'outbid' : '';
  const mine = room.state === 'closed' ? 'You won' : 'You hold the high bid';
  setText(card.foot, isMine ? mine : wasOutbid ? 'You were outbid' : bidsText(room));
  drawCardTime(room, card);
}

function drawCardTime(room, card) {
  const clock = clockOf(room);
  setText(card.time, clock.short);
  card.time.dataset.urgent = clock.urgent;
}

function drawSummary() {
  const rooms = AUCTION_IDS.map((id) => client.room(id)).filter(Boolean);
  if (rooms.length === 0) return;
  const open = rooms.filter((room) => room.state === 'open').length;
  setText($('summary'), `${open} of ${rooms.length} open. Choose one to bid.`);
}

// === The detail view ===

function drawDetail() {
  const room = client.room(selectedId);
  setText($('title'), room?.title ?? `Auction ${selectedId}`);
  document.title = `${room?.title ?? `Auction ${selectedId}`} · Gavel`;
  drawNotice();
  drawClock();
  drawBidForm(room);
  drawHistory(room);
  setText($('price'), room ? money(room.currentBid, room) : '–');
  setText($('minimum'), room ? money(room.minimumBid, room) : '–');
  setText($('price-label'), !room || room.bidCount > 0 ? 'High bid' : 'Opening price');
  setText($('holder'), room ? holderText(room) : 'Waiting for the server…');
}

function holderText(room) {
  const reserve = room.reserveMet === undefined || room.reserveMet === null ? '' : room.reserveMet ? 'Reserve met' : 'Reserve not met';
  if (room.state === 'closed') {
    if (room.winner) return client.isMe(room.winner) ? 'You won' : `Won by ${room.winner}`;
    return room.reserveMet === false ? 'Not sold: reserve not met' : 'Not sold';
  }
  const holder = room.currentBidderId == null ? '' : client.isMe(room.currentBidderId) ? 'You hold it' : `by ${room.currentBidderId}`;
  return [holder, reserve].filter(Boolean).join(' · ');
}

const PAUSED = { kind: 'outbid', text: 'No bids can be decided just now, and the price may be old. It goes on by itself.' };

function drawNotice() {
  const pending = client.pendingBid(selectedId);
  const isPaused = client.level(selectedId) === 'paused';
  const notice = isPaused ? PAUSED : pending ? pendingNotice(pending) : notices.get(selectedId);
  $('notice').dataset.kind = notice?.kind ?? '';
  setText($('notice'), notice?.text ?? '');
}

function pendingNotice(bid) {
  const amount = money(bid.amount, client.room(bid.auctionId));
  const isLive = client.status.state === 'open';
  const text = isLive ? `Sending your bid of ${amount}…`
    : `No answer yet to your bid of ${amount}. It goes out again, as the same bid, once the connection is back.`;
  return { kind: 'pending', text };
}

function drawClock() {
  const room = client.room(selectedId);
  const clock = clockOf(room);
  setText($('countdown-label'), clock.label);
  setText($('countdown'), clock.long);
  $('countdown').dataset.urgent = clock.urgent;
  setText($('state'), clock.state);
  $('state').dataset.state = clock.state.replace('…', '');
  $('track').style.transform = `scaleX(${clock.fraction})`;
  const isExtended = clock.left > 0 && performance.now() - (extendedAt.get(selectedId) ?? -Infinity) < EXTENDED_NOTE_MS;
  setText($('countdown-note'), isExtended ? 'Extended by a late bid' : '');
}

/** Everything the page says about time. "closed" comes from the server's state alone, never from the clock. */
function clockOf(room) {
  const now = client.serverNow();
  const base = { label: 'Closes in', short: '–', long: '–', urgent: false, fraction: 0, left: null, state: room?.state ?? 'waiting' };
  if (!room || now === null) return base;
  if (room.state === 'closed') return { ...base, label: 'Auction', short: 'closed', long: 'closed' };
  if (room.state === 'paused') return { ...base, label: 'Auction', short: 'paused', long: 'paused' };
  if (room.state === 'scheduled') {
    const until = room.opensAt - now;
    const text = until > 0 ? span(until) : 'opening…';
    return { ...base, label: 'Opens in', short: until > 0 ? `opens in ${text}` : text, long: text };
  }
  const left = room.closesAt - now;
  if (left <= 0) return { ...base, label: 'Closes', short: 'closing…', long: 'closing…', urgent: true, left, state: 'closing…' };
  const fraction = Math.min(1, left / Math.max(1, room.closesAt - room.opensAt));
  const urgent = left < URGENT_MS;
  return { ...base, short: span(left), long: span(left, urgent), urgent, fraction, left };
}

/** 1:02:03, 2:03, or 9.4 s for the last seconds. */
function span(ms, withTenths = false) {
  if (withTenths) return `${(Math.ceil(ms / 100) / 10).toFixed(1)} s`;
  const seconds = Math.ceil(ms / 1000);
  const days = Math.floor(seconds / 86_400);
  const two = (value) => String(value).padStart(2, '0');
  const hours = Math.floor(seconds / 3600) % 24;
  const minutes = Math.floor(seconds / 60) % 60;
  if (days > 0) return `${days} d ${hours} h`;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

function drawHistory(room) {
  if (room !== null && room === drawnRoom) return;
  drawnRoom = room;
  const rows = (room?.history ?? []).map((entry) => historyRow(entry, room));
  const oldest = room?.history.at(-1);
  const earlier = room ? room.bidCount - (oldest ? room.history.length : 0) : 0;
  if (earlier > 0) {
    const row = element('li', 'earlier', `and ${earlier} earlier ${earlier === 1 ? 'bid' : 'bids'}`);
    row.dataset.testid = 'history-earlier';
    rows.push(row);
  }
  $('history').replaceChildren(...rows);
  $('history').hidden = rows.length === 0;
  $('history-empty').hidden = rows.length > 0;
  setText($('counts'), room ? [bidsText(room), viewersText(room)].filter(Boolean).join(' · ') : '');
}

function historyRow(entry, room) {
  const isMine = client.isMe(entry.bidderId);
  const row = element('li', isMine ? 'mine' : '');
  row.dataset.testid = 'history-item';
  row.dataset.seq = entry.seq;
  const when = element('time', 'when', entry.at === null ? '' : new Date(entry.at).toLocaleTimeString());
  row.append(element('span', 'amount', money(entry.amount, room)), when, element('span', 'bidder', isMine ? 'You' : entry.bidderId ?? ''));
  return row;
}

// === Bidding ===

function drawBidForm(room) {
  const blocked = blockedReason(room);
  $('bid-button').setAttribute('aria-disabled', String(blocked !== null));
  const field = $('bid-amount');
  if (room && !drafts.has(selectedId)) setValue(field, decimalText(room.minimumBid, room.currency));
  const amount = room ? parseAmount(field.value, room.currency) : null;
  setText($('bid-button'), client.pendingBid(selectedId) ? 'Sending…' : amount === null ? 'Bid' : `Bid ${money(amount, room)}`);
  drawHint(room, amount, blocked);
  for (const button of document.querySelectorAll('[data-steps]')) {
    setText(button, room ? money(quickAmount(room, Number(button.dataset.steps)), room) : button.textContent);
  }
}

function drawHint(room, amount, blocked) {
  const isDrafted = drafts.has(selectedId);
  const unreadable = Boolean(room) && isDrafted && amount === null;
  const tooLow = Boolean(room) && isDrafted && amount !== null && amount < room.minimumBid;
  $('bid-amount').setAttribute('aria-invalid', String(unreadable));
  const isBad = blocked === null && (unreadable || tooLow);
  $('bid-hint').dataset.kind = isBad ? 'bad' : '';
  const example = room ? decimalText(room.minimumBid, room.currency) : '';
  setText($('bid-hint'), blocked ?? (unreadable ? `Write the amount like ${example}.`
    : tooLow ? `Below the minimum of ${money(room.minimumBid, room)}.` : ''));
}

// Only what the page knows for certain blocks a bid; every other verdict is the server's.
function blockedReason(room) {
  if (!room) return 'Waiting for the server…';
  if (client.pendingBid(selectedId)) return 'Waiting for the answer to your last bid.';
  if (client.status.state !== 'open') return 'Not connected. Bidding comes back with the connection.';
  if (room.state === 'closed') return 'This auction is closed.';
  if (room.state === 'paused') return 'This auction is paused.';
  if (room.state === 'scheduled') return 'This auction is not open yet.';
  if (client.isMe(room.currentBidderId)) return 'You hold the high bid.';
  return null;
}

/** The minimum plus a few steps; before the first bid the step is not known, so a tenth of the opening price. */
function quickAmount(room, steps) {
  const step = room.bidCount > 0 ? room.minimumBid - room.currentBid : Math.ceil(room.minimumBid / 10);
  return room.minimumBid + steps * Math.max(1, step);
}

function onSubmit(event) {
  event.preventDefault();
  const room = client.room(selectedId);
  if (blockedReason(room) !== null) return;
  const amount = parseAmount($('bid-amount').value, room.currency);
  if (amount === null) {
    drafts.set(selectedId, $('bid-amount').value);
    $('bid-amount').focus();
  } else {
    client.bid(selectedId, amount);
  }
  drawDetail();
}

function onQuick(event) {
  const button = event.target.closest('[data-steps]');
  const room = client.room(selectedId);
  if (!button || !room) return;
  const steps = Number(button.dataset.steps);
  setValue($('bid-amount'), decimalText(quickAmount(room, steps), room.currency));
  if (steps === 0) drafts.delete(selectedId);
  else drafts.set(selectedId, $('bid-amount').value);
  drawBidForm(room);
}

function onInput() {
  if ($('bid-amount').value.trim() === '') drafts.delete(selectedId);
  else drafts.set(selectedId, $('bid-amount').value);
  const room = client.room(selectedId);
  // An emptied field stays empty while it has the focus, so that a new amount can be typed.
  if (drafts.has(selectedId)) drawBidForm(room);
}

// === Navigation: #3 is the third auction, anything else the overview ===

function onNavigate() {
  const id = Number(location.hash.slice(1));
  const previous = selectedId;
  selectedId = AUCTION_IDS.includes(id) ? id : null;
  $('overview').hidden = selectedId !== null;
  $('detail').hidden = selectedId === null;
  if (selectedId !== null) {
    $('art').style.setProperty('--hue', hueOf(selectedId));
    setText($('art-number'), `№ ${selectedId}`);
    setValue($('bid-amount'), drafts.get(selectedId) ?? '');
    drawDetail();
    window.scrollTo(0, 0);
    $('title').focus({ preventScroll: true });
  } else {
    document.title = 'Gavel · live auctions';
    if (previous !== null) cards.get(previous)?.link.focus();
  }
}

// === Small helpers ===

function element(tag, className = '', text = '') {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

// Writing equal text again would make screen readers repeat it and reset selections.
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function setValue(field, text) {
  if (field.value !== text) field.value = text;
}

function money(minor, room) {
  return room ? formatAmount(minor, room.currency) : String(minor);
}

function bidsText(room) {
  return room.bidCount === 0 ? 'No bids yet' : `${room.bidCount} ${room.bidCount === 1 ? 'bid' : 'bids'}`;
}

function viewersText(room) {
  return room.viewers > 0 ? `${room.viewers} watching` : '';
}

function hueOf(id) {
  return String((id * 47 + 110) % 360);
}

function flash(node) {
  if (!node) return;
  node.classList.remove('flash');
  requestAnimationFrame(() => node.classList.add('flash'));
}

function onTick() {
  if (client.status.state === 'waiting') drawConnection();
  if (selectedId !== null) return drawClock();
  for (const [id, card] of cards) {
    const room = client.room(id);
    if (room) drawCardTime(room, card);
  }
  drawSummary();
}

// === Start ===

for (const id of AUCTION_IDS) {
  makeCard(id);
  client.join(id);
}
$('bid-form').addEventListener('submit', onSubmit);
$('bid-form').addEventListener('click', onQuick);
$('bid-amount').addEventListener('input', onInput);
$('reconnect').addEventListener('click', () => client.connect());
window.addEventListener('hashchange', onNavigate);
window.addEventListener('online', () => client.connect());
setInterval(onTick, TICK_MS);
onNavigate();
client.connect();

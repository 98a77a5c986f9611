// A small reference client for Gavel's browser protocol (subprotocol gavel.v1.json).
//
//   socket frames ──> GavelClient ──fold()──> rooms ──> listener(event)
//                       │  ▲
//                       │  └── closing codes ──planFor()──> when, and whether, to come back
//                       └───── bids wait here under their bidId until the server answers
//
// Amounts are integers in minor units. Every outside thing (socket, clock, chance, timers) can be
// given to the constructor, so the whole client runs in a test without a network.

const SUBPROTOCOL = 'gavel.v1.json';
/** A socket must be welcomed in this time, and an answer to a ping must come in it. */
const SILENCE_MS = 8_000;
const PING_INTERVAL_MS = 10_000;
/** An unanswered bid is sent again on a healthy socket after this time. */
const BID_RESEND_MS = 4_000;
/** After this time we stop asking: whether the bid counted can be read from the price. */
const BID_LIFE_MS = 60_000;
/** A join that got no answer is sent again, each time after twice the wait: the room may not exist. */
const JOIN_RESEND_MS = 5_000;
const JOIN_RESEND_MAX_MS = 60_000;
/** A node that knows less than we do is asked again so often, and then believed. */
const OLDER_RESEND_MS = 1_000;
const OLDER_STATES_MAX = 10;
/** A session this old proves that the server is well, so backoff starts from its base again. */
const STEADY_MS = 10_000;
const HISTORY_MAX = 200;
const CLOCK_SAMPLES_MAX = 8;

// === Reconnecting ===

const SOON = { reconnect: true, floorMs: 0, baseMs: 500, capMs: 15_000 };
const LATER = { reconnect: true, floorMs: 5_000, baseMs: 5_000, capMs: 60_000 };
const never = (why) => ({ reconnect: false, floorMs: 0, baseMs: 0, capMs: 0, why });

/** What a close code asks of a client; docs/protocol.md has the table. */
export function planFor(code) {
  switch (code) {
    case 1000:
      return never('The server ended the session.');
    case 1002:
    case 1003:
    case 1007:
    case 1009:
      return never('The server did not understand this page. Reload it.');
    case 1008:
      return { ...LATER, why: 'Connection limit reached.' };
    case 1013:
      return { ...LATER, why: 'The server is busy.' };
    case 4401:
      return never('Signing in is needed.');
    case 4403:
      return never('This page may not connect.');
    case 4408:
      return { ...SOON, why: 'This device was too slow to follow.' };
    case 4429:
      return { ...LATER, why: 'Too many messages.' };
    default:
      return code >= 4400 && code < 4500
        ? never('The server refused this page.')
        : { ...SOON, why: 'The connection was lost.' };
  }
}

/** Full jitter: anywhere between the floor and a doubling ceiling, so a crowd does not return at once. */
export function backoffMs(plan, attempt, random = Math.random) {
  const ceiling = Math.min(plan.capMs, plan.baseMs * 2 ** Math.min(attempt, 20));
  return Math.round(plan.floorMs + random() * ceiling);
}

// === Amounts ===

/** How many decimals a currency has: 2 for EUR, 0 for JPY. */
export function minorDigits(currency) {
  try {
    return new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits;
  } catch {
    return 2;
  }
}

/** A typed amount in minor units, or null when it is not one. No floating point is involved. */
export function parseAmount(text, currency) {
  const digits = minorDigits(currency);
  const match = /^(\d{1,15})(?:[.,](\d+))?$/.exec(text.replace(/[\s\u00a0\u202f']/g, ''));
  if (!match || (match[2] ?? '').length > digits) return null;
  const minor = Number(match[1] + (match[2] ?? '').padEnd(digits, '0'));
  return Number.isSafeInteger(minor) ? minor : null;
}

/** The plain decimal text of an amount, the form parseAmount reads. */
export function decimalText(minor, currency) {
  const digits = minorDigits(currency);
  const text = String(minor).padStart(digits + 1, '0');
  return digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

/** The amount as people of the page's language write it. */
export function formatAmount(minor, currency) {
  const digits = minorDigits(currency);
  try {
    return new Intl.NumberFormat(undefined, { style: 'currency', currency }).format(minor / 10 ** digits);
  } catch {
    return `${decimalText(minor, currency)} ${currency}`;
  }
}

// === Rooms ===

const CHANGING = [
  'currentBid', 'currentBidderId', 'bidCount', 'minimumBid', 'opensAt', 'closesAt', 'state', 'reserveMet', 'round', 'winner',
];

/**
 * Applies one server message to a room (null before its first snapshot).
 * Answers `{room, verdict}`; the verdict is 'applied', 'stale' (already known), 'gap' (ask for what is missing) or
 * 'older' (a whole state that lies behind ours: the price must not go back).
 */
export function fold(room, message, at) {
  if (message.type === 'auctionState') return foldState(room, message, at);
  if (!room) return { room, verdict: 'gap' };
  if (message.type === 'auctionResumed') return foldResumed(room, message);
  if (message.type === 'auctionClosed') return foldClosed(room, message);
  if (message.seq <= room.seq) return { room, verdict: 'stale' };
  if (message.seq !== room.seq + 1) return { room, verdict: 'gap' };
  const next = { ...room, seq: message.seq };
  for (const field of CHANGING) if (field in message) next[field] = message[field];
  if (next.round !== room.round) next.winner = null;
  return { room: withHistory(room, next, at), verdict: 'applied' };
}

// Seqs of two generations cannot be compared: in another one the server's word counts.
function foldState(room, message, at) {
  const isOlder = room && message.generation === room.generation && message.seq < room.seq;
  return isOlder ? { room, verdict: 'older' } : { room: withHistory(room, { ...message }, at), verdict: 'applied' };
}

// The updates after `from` follow; those that we have already will be stale.
function foldResumed(room, message) {
  if (message.generation !== room.generation || message.from > room.seq) return { room, verdict: 'gap' };
  return { room: { ...room, viewers: message.viewers }, verdict: 'applied' };
}

// A close is final for its round and is believed even across a gap; what is asked for then fills the rest.
function foldClosed(room, message) {
  if (message.seq < room.seq) return { room, verdict: 'stale' };
  const next = { ...room, state: 'closed', winner: message.winner, reserveMet: message.reserveMet ?? room.reserveMet };
  if (message.seq > room.seq + 1) return { room: next, verdict: 'gap' };
  return { room: { ...next, seq: message.seq }, verdict: 'applied' };
}

// History is what this page saw: newest first, one entry for each seq, of the present round only.
function withHistory(before, next, at) {
  const sameRound = before && before.round === next.round && before.generation === next.generation;
  const history = sameRound ? before.history : [];
  const isNewBid = next.bidCount > (history[0]?.bidCount ?? 0);
  if (!isNewBid) return { ...next, history };
  const entry = { seq: next.seq, amount: next.currentBid, bidderId: next.currentBidderId, bidCount: next.bidCount, at };
  return { ...next, history: [entry, ...history].slice(0, HISTORY_MAX) };
}

// === Steering ===

/** Where a node whose public URL this is takes sockets. */
export function socketUrl(publicUrl) {
  return `${publicUrl.replace(/^http/, 'ws').replace(/\/$/, '')}/ws`;
}

// === The client ===

/**
 * Holds one socket, comes back when it is lost, keeps joined rooms current and bids until they are answered.
 * The listener is called with events: status, room, bid, outbid, error.
 */
export class GavelClient {
  #url;
  #listener;
  #outside;
  #socket = null;
  #status = { state: 'idle' };
  #attempt = 0;
  #openedAt = 0;
  #hintMs = null;
  #suggested = null;
  #timers = new Map();
  #joined = new Map();
  #bids = new Map();
  #clock = [];
  #userId = null;
  #guestToken = null;
  #turn = 0;

  /**
   * `outside.token`, where there is one, is called whenever a token is needed and gives a promise of it. What it gives
   * must be fresh: it is shown at each connect, and again before it expires.
   */
  constructor(url, listener, outside = {}) {
    this.#url = url;
    this.#listener = listener;
    this.#outside = {
      WebSocket: globalThis.WebSocket,
      now: () => performance.now(),
      random: Math.random,
      setTimeout: (run, ms) => setTimeout(run, ms),
      clearTimeout: (id) => clearTimeout(id),
      ...outside,
    };
  }

  get status() {
    return this.#status;
  }

  /** The server's time in ms since the epoch, or null before the first welcome. */
  serverNow() {
    const best = this.#bestSample();
    return best ? this.#outside.now() + best.offset : null;
  }

  /** Round trip of the best recent ping, in ms. */
  roundTripMs() {
    const best = this.#bestSample();
    return best && Number.isFinite(best.rtt) ? best.rtt : null;
  }

  /** The last known state of a joined room. */
  room(auctionId) {
    return this.#joined.get(String(auctionId))?.room ?? null;
  }

  /** How much of a room's service there is: 'full', 'slow' while late bids are refused, or 'paused' while nobody can decide any. */
  level(auctionId) {
    return this.#joined.get(String(auctionId))?.level ?? 'full';
  }

  /** True for the user id of this client, which a guest keeps over reconnects. */
  isMe(userId) {
    return userId != null && userId === this.#userId;
  }

  /** The unanswered bid on an auction, if there is one. */
  pendingBid(auctionId) {
    for (const bid of this.#bids.values()) if (bid.auctionId === auctionId) return bid;
    return null;
  }

  /** Opens the socket; also skips the rest of a wait. */
  connect() {
    if (this.#socket) return;
    this.#cancel('reconnect');
    this.#setStatus({ state: 'connecting' });
    if (!this.#outside.token) return this.#open(this.#guestToken ? [`guest.${this.#guestToken}`] : []);
    // The answer may come when nobody waits for it any more.
    const turn = ++this.#turn;
    const ifCurrent = (handle) => (value) => turn === this.#turn && !this.#socket && handle(value);
    this.#outside.token().then(
      ifCurrent((token) => this.#open([`bearer.${token}`])),
      ifCurrent(() => this.#onClose(1006)),
    );
  }

  #open(proof) {
    // Once: a node that is not there must not keep us away.
    const url = this.#suggested ?? this.#url;
    this.#suggested = null;
    const socket = new this.#outside.WebSocket(url, [SUBPROTOCOL, ...proof]);
    this.#socket = socket;
    // Handlers of a socket we have given up must not touch its successor.
    const ifCurrent = (handle) => (event) => socket === this.#socket && handle(event);
    socket.onmessage = ifCurrent((event) => this.#onText(event.data));
    socket.onclose = ifCurrent((event) => this.#onClose(event.code, event.reason));
    socket.onerror = () => {};
    this.#after('silence', SILENCE_MS, () => this.#giveUp());
  }

  /** Ends the session for good (connect() starts another). */
  stop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#turn += 1;
    this.#cancelAllButLives();
    socket?.close(1000);
    this.#setStatus({ state: 'stopped', why: 'Disconnected.' });
  }

  /** Joins a room and keeps it joined over reconnects. */
  join(auctionId) {
    const key = String(auctionId);
    if (this.#joined.has(key)) return;
    this.#joined.set(key, { auctionId, room: null, waiting: false, asks: 0, olders: 0, wantsAll: false });
    if (this.#isOpen()) this.#sendJoin(key);
  }

  /** Leaves a room. */
  leave(auctionId) {
    this.#cancel(`join ${auctionId}`);
    if (this.#joined.delete(String(auctionId)) && this.#isOpen()) this.#send({ type: 'leaveAuction', auctionId });
  }

  /** Places a bid. It is sent again, under the same bidId, until an answer comes or its life is over. */
  bid(auctionId, amount) {
    const bid = { bidId: newBidId(), auctionId, amount, madeAt: this.#outside.now(), sends: 0 };
    this.#bids.set(bid.bidId, bid);
    if (this.#isOpen()) this.#sendBid(bid);
    this.#after(`life ${bid.bidId}`, BID_LIFE_MS, () => this.#settle(bid, { type: 'unanswered' }));
    return bid;
  }

  // --- sending ---

  #isOpen() {
    return this.#status.state === 'open';
  }

  #send(message) {
    this.#socket?.send(JSON.stringify(message));
  }

  #sendJoin(key) {
    const joined = this.#joined.get(key);
    if (!joined) return;
    joined.waiting = true;
    const { generation, seq } = joined.wantsAll ? {} : joined.room ?? {};
    this.#send({ type: 'joinAuction', auctionId: joined.auctionId, generation, seq });
    const waitMs = Math.min(JOIN_RESEND_MAX_MS, JOIN_RESEND_MS * 2 ** joined.asks);
    joined.asks += 1;
    this.#after(`join ${key}`, waitMs, () => this.#sendJoin(key));
  }

  #sendBid(bid) {
    bid.sends += 1;
    this.#send({ type: 'bid', auctionId: bid.auctionId, amount: bid.amount, bidId: bid.bidId });
    this.#after(`bid ${bid.bidId}`, BID_RESEND_MS, () => this.#isOpen() && this.#sendBid(bid));
  }

  #sendPing() {
    this.#send({ type: 'ping', t: Math.round(this.#outside.now()) });
    this.#after('silence', SILENCE_MS, () => this.#giveUp());
  }

  // --- receiving ---

  #onText(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    this.#onMessage(message);
  }

  #onMessage(message) {
    switch (message.type) {
      case 'batch':
        for (const inner of message.messages) this.#onMessage(inner);
        return;
      case 'welcome':
        return this.#onWelcome(message);
      case 'pong':
        return this.#onPong(message);
      case 'auctionState':
      case 'auctionResumed':
      case 'auctionUpdate':
      case 'auctionClosed':
        return this.#onRoom(message);
      case 'bidAccepted':
      case 'bidRejected': {
        const bid = this.#bids.get(message.bidId);
        return bid ? this.#settle(bid, message) : undefined;
      }
      case 'reconnect':
        this.#hintMs = message.afterMs;
        return;
      case 'degraded':
        return this.#onDegraded(message);
      case 'outbid':
      case 'error':
        return this.#listener(message);
      default:
        // Kinds this client does not know are for newer clients.
    }
  }

  #onWelcome(message) {
    if (message.tokenExpiresAt) this.#renew(message.tokenExpiresAt - message.serverTime);
    if (this.#isOpen() && message.sessionId === this.#status.sessionId) return;
    this.#openedAt = this.#outside.now();
    this.#userId = message.userId;
    this.#guestToken = message.guestToken ?? null;
    this.#clock = [{ offset: message.serverTime - this.#openedAt, rtt: Infinity }];
    this.#setStatus({ state: 'open', userId: message.userId, sessionId: message.sessionId });
    for (const [key, joined] of this.#joined) {
      joined.asks = 0;
      joined.olders = 0;
      // Who is told on joining, hears it again.
      joined.level = 'full';
      this.#sendJoin(key);
    }
    for (const bid of this.#bids.values()) this.#sendBid(bid);
    this.#sendPing();
  }

  // Before the token expires another one is shown, which is answered with a welcome of the same session.
  #renew(leftMs) {
    if (!this.#outside.token) return;
    this.#after('token', Math.max(1_000, leftMs * 0.8), () => {
      const socket = this.#socket;
      this.#outside.token().then(
        (token) => socket === this.#socket && this.#send({ type: 'auth', token }),
        // The server closes when the time has come, and then we try again.
        () => {},
      );
    });
  }

  #onDegraded(message) {
    const joined = this.#joined.get(String(message.auctionId));
    if (!joined) return;
    joined.level = message.level;
    this.#listener(message);
  }

  #onPong(message) {
    const now = this.#outside.now();
    if (typeof message.t === 'number') {
      const rtt = Math.max(0, now - message.t);
      this.#clock = [{ offset: message.serverTime - now + rtt / 2, rtt }, ...this.#clock].slice(0, CLOCK_SAMPLES_MAX);
    }
    this.#cancel('silence');
    this.#after('ping', PING_INTERVAL_MS, () => this.#sendPing());
    this.#listener({ type: 'status', status: this.#status });
  }

  // The shortest round trip bounds the error of its offset best.
  #bestSample() {
    return this.#clock.reduce((best, sample) => (!best || sample.rtt < best.rtt ? sample : best), null);
  }

  #onRoom(message) {
    const key = String(message.auctionId);
    const joined = this.#joined.get(key);
    if (!joined) return;
    if (message.suggested) this.#suggested = socketUrl(message.suggested);
    const { room, verdict } = fold(joined.room, message, this.serverNow());
    if (verdict === 'older') return this.#onOlder(key, joined, message);
    const before = joined.room;
    joined.room = room;
    if (verdict === 'applied') {
      Object.assign(joined, { waiting: false, asks: 0, olders: 0, wantsAll: false });
      this.#cancel(`join ${key}`);
    }
    const isUseless = message.type === 'auctionResumed';
    if (verdict === 'gap' && isUseless) joined.wantsAll = true;
    if (verdict === 'gap' && (isUseless || !joined.waiting)) this.#sendJoin(key);
    if (room !== before) this.#listener({ type: 'room', room, before, cause: message });
  }

  // A node may lag behind the one that we come from. We keep what we know and ask again; what it says for long is true.
  #onOlder(key, joined, message) {
    joined.olders += 1;
    if (joined.olders < OLDER_STATES_MAX) {
      joined.waiting = true;
      this.#after(`join ${key}`, OLDER_RESEND_MS, () => this.#sendJoin(key));
      return;
    }
    joined.room = null;
    this.#onRoom(message);
  }

  #settle(bid, answer) {
    if (!this.#bids.delete(bid.bidId)) return;
    this.#cancel(`bid ${bid.bidId}`);
    this.#cancel(`life ${bid.bidId}`);
    this.#listener({ type: 'bid', bid, answer });
  }

  // --- losing the socket ---

  // A half-open socket may take minutes to report its close; we do not wait for it.
  #giveUp() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#onClose(1006);
  }

  #onClose(code) {
    this.#socket = null;
    this.#cancelAllButLives();
    const mayRenew = code === 4401 && this.#outside.token;
    const plan = mayRenew ? { ...SOON, why: 'The session has expired.' } : planFor(code);
    const hintMs = this.#hintMs;
    this.#hintMs = null;
    if (!plan.reconnect) return this.#setStatus({ state: 'stopped', code, why: plan.why });
    const wasSteady = this.#isOpen() && this.#outside.now() - this.#openedAt >= STEADY_MS;
    if (wasSteady) this.#attempt = 0;
    const waitMs = backoffMs(plan, this.#attempt, this.#outside.random) + (hintMs ?? 0);
    this.#attempt += 1;
    this.#after('reconnect', waitMs, () => this.connect());
    this.#setStatus({ state: 'waiting', code, why: plan.why, until: this.#outside.now() + waitMs, waitMs });
  }

  #setStatus(status) {
    this.#status = status;
    this.#listener({ type: 'status', status });
  }

  // --- timers, one for each name ---

  #after(name, ms, run) {
    this.#cancel(name);
    const id = this.#outside.setTimeout(() => {
      this.#timers.delete(name);
      run();
    }, ms);
    this.#timers.set(name, id);
  }

  #cancel(name) {
    if (!this.#timers.has(name)) return;
    this.#outside.clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  // A bid's life goes on while there is no socket; everything else belonged to the socket.
  #cancelAllButLives() {
    for (const name of [...this.#timers.keys()]) if (!name.startsWith('life ')) this.#cancel(name);
  }
}

// randomUUID exists only on secure origins; the demo page must also work over plain http in a LAN.
function newBidId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

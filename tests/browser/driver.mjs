// Drives Chromium and Firefox for the Rust tests.
//
// One JSON request a line on stdin, one JSON answer a line on stdout:
//   -> {"id": 7, "op": "eval", "page": "p1", "body": "return 1 + args.n", "args": {"n": 1}}
//   <- {"id": 7, "value": 2}            or   {"id": 7, "error": "…"}
// Requests run side by side, so a long wait does not hold up the others; answers come as they are ready.
// When stdin ends every browser is closed and the process ends, so a test that dies leaves nothing behind.
import { createInterface } from 'node:readline';
import { chromium, firefox } from 'playwright-core';

const CHROMIUM = {
  executablePath: process.env.MATINEE_CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--autoplay-policy=no-user-gesture-required',
  ],
};
const FIREFOX = {
  channel: 'moz-firefox',
  executablePath: process.env.MATINEE_FIREFOX ?? '/usr/bin/firefox-esr',
  firefoxUserPrefs: { 'media.autoplay.default': 0 },
};
const TIMEOUT_MS = 30_000;
const POLL_MS = 50;
const LOG_LINES_MAX = 2_000;
const VALUE_CHARS_MAX = 400;
const ABORTED = /ERR_ABORTED|NS_BINDING_ABORTED/;

const kept = new Map();
let counter = 0;

function keep(prefix, value) {
  counter += 1;
  const name = `${prefix}${counter}`;
  kept.set(name, value);
  return name;
}

function find(name) {
  const value = kept.get(name);
  if (value === undefined) throw new Error(`nothing is called ${name} (closed?)`);
  return value;
}

/** A page together with what it said. */
class Tab {
  constructor(page, bringToFront) {
    this.page = page;
    this.bringToFront = bringToFront;
    this.lines = [];
    page.on('console', (message) => this.note(message.type(), message.text()));
    page.on('pageerror', (error) => this.note('pageerror', error.stack ?? String(error)));
    page.on('crash', () => this.note('crash', 'the page crashed'));
    page.on('requestfailed', (request) => {
      const cause = request.failure()?.errorText ?? '';
      // A media element gives up a range whenever it seeks or has read enough.
      if (!ABORTED.test(cause)) this.note('requestfailed', `${request.method()} ${request.url()} ${cause}`);
    });
  }

  note(kind, text) {
    this.lines.push({ kind, text });
    if (this.lines.length > LOG_LINES_MAX) this.lines.shift();
  }
}

/** The page that a request names, or the frame in it whose address begins so. */
function place({ page, frame }) {
  const tab = find(page);
  if (!frame) return tab.page;
  const found = tab.page.frames().find((one) => one.url().startsWith(frame));
  if (found === undefined) throw new Error(`no frame is at ${frame}`);
  return found;
}

/** A context (one isolated profile) together with what its service workers said. */
class Profile {
  constructor(context, isFirefox) {
    this.context = context;
    // Firefox falls to one frame a second in a background tab.
    this.isFirefox = isFirefox;
    this.lines = [];
    context.on('serviceworker', (worker) => {
      worker.on('console', (message) => this.lines.push({ kind: `worker ${message.type()}`, text: message.text() }));
    });
  }
}

/** The source is handed over as an expression, so a page's Content-Security-Policy does not forbid it. */
function expression(body, args) {
  return `(async (args) => { ${body}\n})(${JSON.stringify(args ?? null)})`;
}

function within(promise, milliseconds, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${milliseconds} ms`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function shown(value) {
  const text = JSON.stringify(value) ?? 'undefined';
  return text.length > VALUE_CHARS_MAX ? `${text.slice(0, VALUE_CHARS_MAX)}…` : text;
}

/** Polls from here and not inside the page, so that a navigation in between does not end the wait. */
async function waitForFunction(tab, frame, body, args, timeout) {
  const end = Date.now() + timeout;
  let last = 'never answered';
  for (;;) {
    try {
      const left = Math.max(end - Date.now(), POLL_MS);
      const looked = (async () => place({ page: tab.name, frame }).evaluate(expression(body, args)))();
      const value = await within(looked, left, 'one look');
      if (value) return value;
      last = `last value ${shown(value)}`;
    } catch (error) {
      last = `last error ${error.message}`;
    }
    if (Date.now() >= end) {
      const said = tab.lines.slice(-10).map((line) => `  [${line.kind}] ${line.text}`);
      throw new Error([`still not so after ${timeout} ms: ${body}`, last, `at ${tab.page.url()}`, ...said].join('\n'));
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

const operations = {
  async launch({ browser, userDataDir, args = [], prefs = {} }) {
    const isFirefox = browser === 'firefox';
    if (!isFirefox && browser !== 'chromium') throw new Error(`no browser is called ${browser}`);
    const kind = isFirefox ? firefox : chromium;
    const options = isFirefox
      ? { ...FIREFOX, args, firefoxUserPrefs: { ...FIREFOX.firefoxUserPrefs, ...prefs } }
      : { ...CHROMIUM, args: [...CHROMIUM.args, ...args] };
    if (userDataDir) {
      const context = await kind.launchPersistentContext(userDataDir, options);
      return { profile: keep('c', new Profile(context, isFirefox)), version: context.browser()?.version() ?? '' };
    }
    const launched = await kind.launch(options);
    return { browser: keep('b', { launched, isFirefox }), version: launched.version() };
  },
  async profile({ browser, options = {} }) {
    const { launched, isFirefox } = find(browser);
    return { profile: keep('c', new Profile(await launched.newContext(options), isFirefox)) };
  },
  async page({ profile, url, timeout = TIMEOUT_MS }) {
    const owner = find(profile);
    const tab = new Tab(await owner.context.newPage(), owner.isFirefox);
    const page = keep('p', tab);
    tab.name = page;
    if (tab.bringToFront) await tab.page.bringToFront();
    if (url) await tab.page.goto(url, { timeout });
    return { page };
  },
  async goto({ page, url, timeout = TIMEOUT_MS }) {
    const answer = await find(page).page.goto(url, { timeout });
    return { status: answer?.status() ?? null };
  },
  async reload({ page, timeout = TIMEOUT_MS }) {
    await find(page).page.reload({ timeout });
  },
  async front({ page }) {
    await find(page).page.bringToFront();
  },
  async eval({ page, frame, body, args, timeout = TIMEOUT_MS }) {
    return within(place({ page, frame }).evaluate(expression(body, args)), timeout, 'the evaluation');
  },
  async waitFor({ page, frame, selector, state = 'visible', body, args, timeout = TIMEOUT_MS }) {
    const tab = find(page);
    if (body) return waitForFunction(tab, frame, body, args, timeout);
    await tab.page.locator(selector).first().waitFor({ state, timeout });
    return true;
  },
  async click({ page, frame, selector, timeout = TIMEOUT_MS }) {
    await place({ page, frame }).locator(selector).first().click({ timeout });
  },
  async fill({ page, selector, text, timeout = TIMEOUT_MS }) {
    await find(page).page.locator(selector).first().fill(text, { timeout });
  },
  async press({ page, selector, key, timeout = TIMEOUT_MS }) {
    const { page: target } = find(page);
    if (selector) await target.locator(selector).first().press(key, { timeout });
    else await target.keyboard.press(key);
  },
  async select({ page, selector, option, timeout = TIMEOUT_MS }) {
    await find(page).page.locator(selector).first().selectOption(option, { timeout });
  },
  async choose({ page, selector, paths, timeout = TIMEOUT_MS }) {
    await find(page).page.locator(selector).first().setInputFiles(paths, { timeout });
  },
  async text({ page, selector, timeout = TIMEOUT_MS }) {
    return find(page).page.locator(selector).first().innerText({ timeout });
  },
  async download({ page, selector, path, timeout = TIMEOUT_MS }) {
    const target = find(page).page;
    const [download] = await Promise.all([
      target.waitForEvent('download', { timeout }),
      target.locator(selector).first().click({ timeout }),
    ]);
    await within(download.saveAs(path), timeout, 'the download');
    return { name: download.suggestedFilename() };
  },
  async screenshot({ page, path, fullPage = false }) {
    await find(page).page.screenshot({ path, fullPage });
  },
  async size({ page, width, height }) {
    await find(page).page.setViewportSize({ width, height });
  },
  async url({ page }) {
    return find(page).page.url();
  },
  /** A command of Chromium's own protocol; what one command sets up stays for the next. */
  async cdp({ page, method, params = {} }) {
    const tab = find(page);
    tab.cdp ??= await tab.page.context().newCDPSession(tab.page);
    return tab.cdp.send(method, params);
  },
  async logs({ page, profile }) {
    return find(page ?? profile).lines;
  },
  async offline({ profile, offline }) {
    await find(profile).context.setOffline(offline);
  },
  async close({ name }) {
    const value = find(name);
    kept.delete(name);
    if (value instanceof Tab) await value.page.close();
    else if (value instanceof Profile) await value.context.close();
    else await value.launched.close();
  },
};

async function closeAll() {
  const open = [...kept.values()];
  kept.clear();
  await Promise.allSettled(
    open.map((value) => {
      if (value instanceof Profile) return value.context.close();
      if (value instanceof Tab) return undefined;
      return value.launched.close();
    }),
  );
}

async function answer(line) {
  let id = null;
  try {
    const request = JSON.parse(line);
    id = request.id ?? null;
    if (!Object.hasOwn(operations, request.op)) throw new Error(`no operation is called ${request.op}`);
    const value = await operations[request.op](request);
    return { id, value: value ?? null };
  } catch (error) {
    return { id, error: error instanceof Error ? error.message : String(error) };
  }
}

const input = createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY });
input.on('line', async (line) => {
  const text = JSON.stringify(await answer(line));
  process.stdout.write(`${text}\n`);
});
input.on('close', async () => {
  await within(closeAll(), 5_000, 'closing').catch(() => {});
  process.exit(0);
});
// A reader that went away is the same as the end of stdin.
process.stdout.on('error', () => input.close());

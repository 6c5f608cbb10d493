// The engine worker's entry: loads the engine, then passes messages on. It is the only place where content keys are.
import init from '../../wasm/pkg/matinee_web.js';
import engine from '../../wasm/pkg/matinee_web_bg.wasm?url';
import { ApiError, type License } from './api.ts';
import type { Bytes } from './bytes.ts';
import type { KeyPair } from './device.ts';
import { Channels } from './engine/channels.ts';
import type { Driver } from './engine/driver.ts';
import { launch, type TokenHolder } from './engine/launch.ts';
import { openLicense } from './engine/license_keys.ts';
import { answerRead } from './engine/read.ts';
import type { FromEngine, ReadAnswer, ReadRequest, Start, ToEngine } from './messages.ts';
import type { DedicatedWorkerScope } from './worker_scope.ts';

declare const self: DedicatedWorkerScope;

/** Peers are told goodbye and last receipts are signed within this time. */
const LEAVE_MS = 400;
const EARLY_READS_MAX = 16;

const holder: TokenHolder = { token: '' };
const channels = new Channels();
// Compiled while the page is still opening its view.
const loaded = init({ module_or_path: engine });
loaded.catch(() => undefined);
let launching: Promise<Driver> | undefined;
/** The release being played, once that is known. */
let release = '';
let agreement: KeyPair | undefined;
/** Reads that came before that. */
const early: Extract<ToEngine, { kind: 'read' }>[] = [];
let driver: Driver | undefined;

function post(message: FromEngine): void {
  self.postMessage(message);
}

/** Begins to play, or, before there is a view, to make ready what it will begin with. */
function start(data: Start): void {
  holder.token = data.token;
  agreement = data.device.agreement;
  // Opened at once, though the engine may still be on its way.
  const keys = data.license === null ? undefined : openLicense(agreement, data.license);
  keys?.catch(() => undefined);
  const begun = release === data.release ? launching : launching?.then(ended);
  release = data.release;
  launching = begun === undefined ? begin(data, keys) : goOn(begun, data, keys);
  // What fails without a view, the view begins again.
  launching.catch(data.viewing ? failed : () => undefined);
  for (const { request, port } of early.splice(0)) read(request, port);
}

async function begin(data: Start, keys: Promise<Bytes> | undefined): Promise<Driver> {
  await loaded;
  driver = await launch(data, holder, channels, post);
  // It may have been renewed while the manifest was on its way.
  if (driver.currentToken !== holder.token) await driver.renew(holder.token);
  if (data.license !== null && keys !== undefined) void driver.license(data.license, keys);
  return driver;
}

/** Gives a view what was begun for it; what was begun for something else, or failed, is begun anew. */
async function goOn(
  begun: Promise<Driver | undefined>,
  data: Start,
  keys: Promise<Bytes> | undefined,
): Promise<Driver> {
  const running = await begun.catch(() => undefined);
  if (running === undefined) return begin(data, keys);
  await running.view(data, keys);
  return running;
}

function ended(other: Driver): undefined {
  other.stop();
}

function failed(cause: unknown): void {
  const code = cause instanceof ApiError ? cause.code : 'engine_failed';
  const detail = cause instanceof Error ? cause.message : String(cause);
  post({ kind: 'failed', code, detail });
}

self.onmessage = ({ data }: MessageEvent<ToEngine>): void => {
  if (data.kind === 'start') return start(data);
  if (data.kind === 'license') return license(data.license);
  if (data.kind === 'token') holder.token = data.token;
  // In this very task: a channel's messages are lost on whoever listens later.
  if (data.kind === 'channel') return channels.add(data.peer, data.channel);
  if (data.kind === 'fingerprints') return channels.fingerprints(data.peer, data.local, data.remote);
  if (data.kind === 'peer gone') return channels.drop(data.peer);
  if (data.kind === 'read') {
    if (launching !== undefined) read(data.request, data.port);
    else if (early.length < EARLY_READS_MAX) early.push(data);
    else deny(data.port, 'too many reads before there is anything to read');
    return;
  }
  if (data.kind === 'stop' && driver === undefined) return self.close();
  void launching?.then((running) => pass(running, data)).catch(() => undefined);
};

/** Opened at once, though the engine may still be on its way. */
function license(license: License): void {
  if (agreement === undefined) return;
  const opened = openLicense(agreement, license);
  opened.catch(() => undefined);
  launching?.then((running) => running.license(license, opened)).catch(() => undefined);
}

function read(request: ReadRequest, port: MessagePort): void {
  launching
    ?.then((running) => {
      if (request.release !== release) return deny(port, 'another release is being played');
      return answerRead(running, request, port);
    })
    .catch(() => deny(port, 'the engine could not be started'));
}

function deny(port: MessagePort, detail: string): void {
  const answer: ReadAnswer = { kind: 'error', detail };
  port.postMessage(answer);
}

function pass(running: Driver, message: ToEngine): void {
  switch (message.kind) {
    case 'token':
      return void running.renew(message.token);
    case 'license failed':
      return running.licenseFailed(message.file, message.epoch, message.detail);
    case 'license waits':
      return running.licenseWaits(message.file, message.epoch);
    case 'jwks':
      return running.keysChanged(message.jwks);
    case 'shown':
      return running.shown(message.shown);
    case 'peers expected':
      return running.peersExpected(message.count);
    case 'over':
      return running.end(message.detail);
    case 'stop':
      running.end('this player was closed');
      setTimeout(() => {
        running.stop();
        self.close();
      }, LEAVE_MS);
      return;
    case 'start':
    case 'license':
    case 'read':
    case 'channel':
    case 'fingerprints':
    case 'peer gone':
      // Dealt with above, before there is an engine.
      return;
  }
}

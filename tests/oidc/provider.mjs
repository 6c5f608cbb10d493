// A real OpenID Connect provider (oidc-provider), which signs in whom the test says without asking, and lies on demand.
// It prints {"issuer":url} first. Then a JSON object a line in, {} a line out when it is done:
//   {"op":"open","redirect_uri":text}      opens for the client `matinee` with the secret `a secret of matinee`
//   {"op":"be","account":text|null}        who signs in from now on; null: the person says no
//   {"op":"lie","claims":object?,"alg":"none"|"HS256"|"stranger"?,"issuer":text?,"profile":object?,"told":object?}
//                                          changes the ID token, its signature, the discovery document, the profile, what is
//                                          told of it; without any of them it is honest
import { createHmac, createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import Provider from 'oidc-provider';

// Standard output is for answers; the library's hints on what to set up in earnest are none.
console.info = () => {};
console.warn = () => {};

const CLIENT_SECRET = 'a secret of matinee';
const PEOPLE = {
  alice: { email: 'alice@example.com', email_verified: true, name: 'Alice Example' },
  bob: { email: 'bob@example.com', email_verified: false, name: 'Bob Example' },
  carol: { email: 'carol@example.com', email_verified: true, name: 'Carol Example' },
};

const key = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
const own = { ...key(), kid: 'own', alg: 'ES256', use: 'sig' };
const stranger = { ...key(), kid: 'own' };

let account = 'alice';
let lie = {};
let provider;

const server = createServer((request, response) => {
  if (provider === undefined) response.writeHead(503).end();
  else if (request.url.startsWith('/interaction/')) void interact(request, response);
  else provider.callback()(request, response);
});

async function interact(request, response) {
  const result =
    account === null
      ? { error: 'access_denied', error_description: 'the person said no' }
      : { login: { accountId: account, remember: false } };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

function forged(token) {
  const [header, payload] = token.split('.').map((part) => Buffer.from(part, 'base64url').toString());
  const claims = { ...JSON.parse(payload), ...lie.claims };
  const alg = lie.alg === 'none' || lie.alg === 'HS256' ? lie.alg : 'ES256';
  const text = [{ ...JSON.parse(header), alg }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  return `${text}.${signature(text).toString('base64url')}`;
}

function signature(text) {
  if (lie.alg === 'none') return Buffer.alloc(0);
  if (lie.alg === 'HS256') return createHmac('sha256', CLIENT_SECRET).update(text).digest();
  const jwk = lie.alg === 'stranger' ? stranger : own;
  const signer = { key: createPrivateKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' };
  return sign('sha256', Buffer.from(text), signer);
}

function open(redirect_uri) {
  provider = new Provider(issuer, {
    clients: [
      {
        client_id: 'matinee',
        client_secret: CLIENT_SECRET,
        redirect_uris: [redirect_uri],
        id_token_signed_response_alg: 'ES256',
      },
    ],
    jwks: { keys: [own] },
    cookies: { keys: ['the tests need no secret here'] },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    pkce: { required: () => true },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...PEOPLE[id], ...lie.profile }) }),
    async loadExistingGrant(context) {
      const { client, session } = context.oidc;
      const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
      grant.addOIDCScope('openid email profile');
      await grant.save();
      return grant;
    },
  });
  provider.use(async (context, next) => {
    await next();
    if (context.path === '/token' && context.body?.id_token) {
      if (lie.claims !== undefined || lie.alg !== undefined) context.body.id_token = forged(context.body.id_token);
    }
    if (context.path === '/me' && lie.told !== undefined) context.body = { ...context.body, ...lie.told };
    if (context.path === '/.well-known/openid-configuration' && lie.issuer !== undefined) {
      context.body = { ...context.body, issuer: lie.issuer };
    }
  });
}

function obey(order) {
  if (order.op === 'open') open(order.redirect_uri);
  else if (order.op === 'be') account = order.account;
  else if (order.op === 'lie') lie = order;
  else throw new Error(`no order is called ${order.op}`);
  return {};
}

await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;
process.stdout.write(`${JSON.stringify({ issuer })}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(obey(JSON.parse(line)))}\n`);
}
process.exit(0);

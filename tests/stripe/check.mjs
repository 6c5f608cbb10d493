// Signs and checks webhook events with Stripe's own library. A JSON object a line in, one out:
//   {"op":"sign","payload":text,"secret":text,"timestamp":seconds?}   -> {"header":text}
//   {"op":"check","payload":text,"header":text,"secret":text}         -> {"id":text,"type":text} or {"error":text}
import { createInterface } from 'node:readline';

import Stripe from 'stripe';

// No request is ever sent: the key is of the form of one and no more.
const stripe = new Stripe('sk_test_none');

function answer({ op, payload, secret, header, timestamp }) {
  if (op === 'sign') {
    return { header: stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp }) };
  }
  try {
    const event = stripe.webhooks.constructEvent(payload, header, secret);
    return { id: event.id, type: event.type };
  } catch (error) {
    return { error: error.message };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(answer(JSON.parse(line)))}\n`);
}

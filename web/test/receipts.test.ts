import { expect, test, vi } from 'vitest';
import { ReceiptBook } from '../src/player/engine/receipts.ts';

test('the last receipt of each downloader is handed in once', async () => {
  const send = vi.fn().mockResolvedValue(0);
  const book = new ReceiptBook(send);
  book.add('a', 100, 'a1');
  book.add('a', 300, 'a3');
  book.add('a', 200, 'a2');
  book.add('b', 50, 'b1');
  book.add('c', 50, '');
  await book.handIn();
  await book.handIn();
  expect(send.mock.calls).toEqual([[['a3', 'b1']]]);
});

test('what the server could not be told is kept', async () => {
  const send = vi.fn().mockRejectedValueOnce(new Error('away')).mockResolvedValue(0);
  const book = new ReceiptBook(send);
  book.add('a', 100, 'a1');
  await book.handIn();
  book.add('a', 200, 'a2');
  await book.handIn();
  expect(send.mock.calls).toEqual([[['a1']], [['a2']]]);
});

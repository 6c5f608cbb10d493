// A listing that is added to on request.
import { html, nothing, type TemplateResult } from 'lit';
import type { Rows } from './shop.ts';

export class Listing<T> {
  rows: T[] | undefined;
  private next: string | null = null;

  constructor(private readonly fetchPage: (cursor: string | null) => Promise<Rows<T>>) {}

  /** The first page, in place of what there was. */
  async load(): Promise<void> {
    const page = await this.fetchPage(null);
    this.rows = page.rows;
    this.next = page.next;
  }

  async more(): Promise<void> {
    if (this.next === null) return;
    const page = await this.fetchPage(this.next);
    this.rows = [...(this.rows ?? []), ...page.rows];
    this.next = page.next;
  }

  /** The button below, where there is more. */
  button(busy: boolean, more: () => void): TemplateResult | typeof nothing {
    if (this.next === null) return nothing;
    return html`<p class="more"><button class="second" ?disabled=${busy} @click=${more}>Show more</button></p>`;
  }
}

// What every page of the storefront has in common: it renders into the document, says what it waits for, and shows
// what went wrong in words.
import { html, LitElement, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { ApiError } from '../player/api.ts';
import { listen } from './account.ts';
import { framed } from './framed.ts';
import { hasMoved, navigate, withNext } from './router.ts';

/** A part of the document: one style sheet for all, so nothing lives in a shadow. */
export abstract class Part extends LitElement {
  static override properties = { problem: { state: true }, busy: { state: true } };

  declare problem: string;
  declare busy: boolean;
  /** What to try again when it did not work for a reason that passes. */
  private again: (() => void) | undefined;
  private unlisten: (() => void) | undefined;

  constructor() {
    super();
    this.problem = '';
    this.busy = false;
  }

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.unlisten = listen(() => this.requestUpdate());
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.unlisten?.();
  }

  /** Runs `work`, showing that it runs and what came of it. Resolves to whether it went well. */
  protected async attempt(work: () => Promise<void>, again?: () => void): Promise<boolean> {
    this.busy = true;
    this.problem = '';
    this.again = undefined;
    try {
      await work();
      return true;
    } catch (cause) {
      if (cause instanceof ApiError && cause.code === 'session_required' && !this.signsIn) {
        if (framed) {
          this.problem = 'This way in has run out; go back to where it came from.';
          return false;
        }
        navigate(withNext('/sign-in', `${location.pathname}${location.search}`), true);
        return false;
      }
      this.problem = words(cause);
      if (cause instanceof ApiError && cause.passing) this.again = again;
      return false;
    } finally {
      this.busy = false;
    }
  }

  /** A page on which being refused means a wrong password, not a missing one. */
  protected get signsIn(): boolean {
    return false;
  }

  protected alert(): TemplateResult | typeof nothing {
    if (this.problem === '') return nothing;
    const { again } = this;
    return html`<div class="error" role="alert">
      <p>${this.problem}</p>
      ${again === undefined ? nothing : html`<button class="plain" @click=${again}>Try again</button>`}
    </div>`;
  }

  /** Shown until there is something to show. */
  protected waiting(): TemplateResult | typeof nothing {
    return this.busy ? html`<p class="quiet loading" role="status">Loading…</p>` : nothing;
  }
}

/** A whole page, with a heading that is its name. */
export abstract class Page extends Part {
  private headed = '';

  protected heading(text: string): TemplateResult {
    this.headed = text;
    return html`<h1 tabindex="-1">${text}</h1>`;
  }

  /** Whoever reads by ear is told of the new page; at the first one the browser does that itself. */
  protected override firstUpdated(_: PropertyValues<this>): void {
    if (hasMoved()) this.querySelector<HTMLElement>('h1')?.focus();
  }

  protected override updated(changed: PropertyValues<this>): void {
    super.updated(changed);
    if (this.headed !== '') document.title = `${this.headed} · Matinee`;
  }
}

/** What a person is told of a failure. */
export function words(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause);
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;
}

/** A POST that moves money keeps its key until it is answered, so that trying again does not pay twice. */
export class IdempotencyKey {
  private key: string | undefined;
  private purpose = '';

  /** The key for this purpose; another purpose gets another key. */
  for(purpose: string): string {
    if (this.key === undefined || this.purpose !== purpose) {
      this.key = crypto.randomUUID();
      this.purpose = purpose;
    }
    return this.key;
  }

  /** Runs `work` under the key. A refusal is an answer too: what comes next is another request. */
  async once<T>(purpose: string, work: (key: string) => Promise<T>): Promise<T> {
    try {
      const answer = await work(this.for(purpose));
      this.key = undefined;
      return answer;
    } catch (cause) {
      if (cause instanceof ApiError && !cause.passing) this.key = undefined;
      throw cause;
    }
  }
}

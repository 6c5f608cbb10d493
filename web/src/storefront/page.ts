// What every page of the storefront has in common: it renders into the document, says what it waits for, and shows
// what went wrong in words.
import { html, LitElement, nothing, type TemplateResult } from 'lit';
import { ApiError } from '../player/api.ts';
import { navigate, withNext } from './router.ts';

export abstract class Page extends LitElement {
  static override properties = { problem: { state: true }, busy: { state: true } };

  declare problem: string;
  declare busy: boolean;

  constructor() {
    super();
    this.problem = '';
    this.busy = false;
  }

  /** One style sheet for all pages, so they live in the document itself. */
  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  /** Runs `work`, showing that it runs and what came of it. Resolves to whether it went well. */
  protected async attempt(work: () => Promise<void>): Promise<boolean> {
    this.busy = true;
    this.problem = '';
    try {
      await work();
      return true;
    } catch (cause) {
      if (cause instanceof ApiError && cause.status === 401 && !this.signsIn) {
        navigate(withNext('/sign-in', location.pathname), true);
        return false;
      }
      this.problem = words(cause);
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
    return this.problem === '' ? nothing : html`<p class="error" role="alert">${this.problem}</p>`;
  }

  protected heading(text: string): TemplateResult {
    document.title = `${text} · Matinee`;
    return html`<h1 tabindex="-1">${text}</h1>`;
  }
}

function words(cause: unknown): string {
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

  answered(): void {
    this.key = undefined;
  }
}

import { html, LitElement, type TemplateResult } from 'lit';
import { client } from './account.ts';
import { countdown, date } from './wording.ts';

/** Counts down to the millisecond from which a title plays, by the server's clock, and then says `premiere`. */
export class PremiereCountdown extends LitElement {
  static override properties = { at: { type: Number }, left: { state: true } };

  declare at: number;
  declare left: number;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    this.at = 0;
    this.left = 0;
  }

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.tick();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.timer);
  }

  private tick(): void {
    this.left = this.at - client.clock.now();
    if (this.left <= 0 && this.at > 0) {
      this.dispatchEvent(new Event('premiere'));
      return;
    }
    // At the next whole second.
    this.timer = setTimeout(() => this.tick(), this.left % 1000 || 1000);
  }

  protected override render(): TemplateResult {
    return html`<p class="note">
      Premiere on ${date(this.at)}<br />
      <strong class="countdown" role="timer" aria-label="Time until the premiere">${countdown(this.left)}</strong>
    </p>`;
  }
}

customElements.define('premiere-countdown', PremiereCountdown);

// A button for what cannot be undone: it asks once more, in words, beside itself.
import { html, LitElement, type TemplateResult } from 'lit';

export class CarefulButton extends LitElement {
  static override properties = {
    text: { type: String },
    question: { type: String },
    confirm: { type: String },
    disabled: { type: Boolean },
    asking: { state: true },
  };

  declare text: string;
  declare question: string;
  /** What the button that does it says. */
  declare confirm: string;
  declare disabled: boolean;
  declare asking: boolean;

  constructor() {
    super();
    this.text = '';
    this.question = '';
    this.confirm = 'Yes';
    this.disabled = false;
    this.asking = false;
  }

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  private async ask(asking: boolean): Promise<void> {
    this.asking = asking;
    await this.updateComplete;
    this.querySelector('button')?.focus();
  }

  private act(): void {
    this.asking = false;
    this.dispatchEvent(new Event('confirmed'));
  }

  protected override render(): TemplateResult {
    if (!this.asking) {
      return html`<button class="second" ?disabled=${this.disabled} @click=${() => this.ask(true)}>${this.text}</button>`;
    }
    return html`<span class="asking" role="group" aria-label=${this.question}>
      <span>${this.question}</span>
      <button class="second" @click=${() => this.ask(false)}>Keep</button>
      <button class="danger" ?disabled=${this.disabled} @click=${this.act}>${this.confirm}</button>
    </span>`;
  }
}

customElements.define('careful-button', CarefulButton);

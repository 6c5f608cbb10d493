import { html, nothing, type TemplateResult } from 'lit';
import { loadDevice } from '../player/device.ts';
import './acts.ts';
import { Part } from './page.ts';
import { type AccountDevice, shop } from './shop.ts';
import { date } from './wording.ts';

const NAME_CHARS_MAX = 100;

/** The devices that have played something: named, and removed. */
export class AccountDevices extends Part {
  static override properties = {
    ...Part.properties,
    devices: { state: true },
    own: { state: true },
    naming: { state: true },
    done: { state: true },
  };

  declare devices: AccountDevice[] | undefined;
  /** This browser's device. */
  declare own: string;
  /** The device whose name is being written. */
  declare naming: string;
  declare done: string;

  constructor() {
    super();
    this.own = '';
    this.naming = '';
    this.done = '';
  }

  override connectedCallback(): void {
    super.connectedCallback();
    void this.load();
  }

  private load(): Promise<boolean> {
    return this.attempt(
      async () => {
        const own = loadDevice().then(
          ({ thumbprint }) => thumbprint,
          () => '',
        );
        [this.devices, this.own] = await Promise.all([shop.devices(), own]);
      },
      () => void this.load(),
    );
  }

  private async rename(event: SubmitEvent, device: AccountDevice): Promise<void> {
    event.preventDefault();
    const name = String(new FormData(event.currentTarget as HTMLFormElement).get('name') ?? '').trim();
    await this.attempt(async () => {
      await shop.nameDevice(device.id, name);
      this.naming = '';
      this.devices = await shop.devices();
      this.done = `Named ${name}.`;
    });
  }

  private async takeAway(device: AccountDevice): Promise<void> {
    await this.attempt(async () => {
      await shop.removeDevice(device.id);
      this.devices = await shop.devices();
      this.done = 'Removed. What played there has ended.';
    });
  }

  protected override render(): TemplateResult {
    return html`<h2>Devices</h2>
      ${this.alert()}
      <p class="quiet">A device is listed once it has played something. Removing one ends what plays there.</p>
      <p role="status" class="said">${this.done}</p>
      ${this.list()}`;
  }

  private list(): TemplateResult | typeof nothing {
    const { devices } = this;
    if (devices === undefined) return this.waiting();
    if (devices.length === 0) return html`<p>No device has played anything yet.</p>`;
    return html`<ul class="rows">
      ${devices.map((device) => html`<li class="device">${this.row(device)}</li>`)}
    </ul>`;
  }

  private row(device: AccountDevice): TemplateResult {
    const name = device.name ?? 'Unnamed device';
    const here = device.id === this.own ? html` <span class="badge">This device</span>` : nothing;
    if (this.naming === device.id) {
      return html`<form class="inline" @submit=${(event: SubmitEvent) => this.rename(event, device)}>
        <label>Name <input name="name" required maxlength=${NAME_CHARS_MAX} .value=${device.name ?? ''} /></label>
        <button type="submit" ?disabled=${this.busy}>Save</button>
        <button type="button" class="second" @click=${() => this.name('')}>Leave it</button>
      </form>`;
    }
    return html`<span class="grow">
        <strong>${name}</strong>${here}<br />
        <span class="quiet">Last played ${date(device.last_seen_at_ms)}, first ${date(device.first_seen_at_ms)}</span>
      </span>
      <span class="actions">
        <button class="second rename" ?disabled=${this.busy} aria-label=${`Rename ${name}`} @click=${() => this.name(device.id)}>Rename</button>
        <careful-button
          text="Remove"
          question="What plays there ends."
          confirm="Remove it"
          ?disabled=${this.busy}
          @confirmed=${() => this.takeAway(device)}
        ></careful-button>
      </span>`;
  }

  private async name(device: string): Promise<void> {
    this.naming = device;
    this.done = '';
    await this.updateComplete;
    this.querySelector<HTMLElement>(device === '' ? '.rename' : 'input[name=name]')?.focus();
  }
}

customElements.define('account-devices', AccountDevices);

import { html, nothing, type TemplateResult } from 'lit';
import { client } from './account.ts';
import { Part } from './page.ts';
import { add, deviceName, type Passkey, passkeys, remove, rename, supported } from './passkey.ts';
import { problemIn, type Ways, ways } from './sign_in_ways.ts';
import { date } from './wording.ts';

interface Identity {
  id: string;
  provider: string | null;
  label: string;
  created_at_ms: number;
  last_used_at_ms: number | null;
}

/** How one signs in besides the password: passkeys, and accounts elsewhere. */
export class AccountWays extends Part {
  static override properties = {
    ...Part.properties,
    passkeys: { state: true },
    identities: { state: true },
    renamed: { state: true },
  };

  /** Undefined where there are none to be had. */
  declare passkeys: Passkey[] | undefined;
  declare identities: Identity[];
  private ways: Ways | undefined;
  /** The passkey that is being given another name. */
  declare renamed: string;

  constructor() {
    super();
    this.identities = [];
    this.renamed = '';
  }

  override connectedCallback(): void {
    super.connectedCallback();
    void this.attempt(() => this.load()).then(() => {
      this.problem ||= problemIn(location.search);
    });
  }

  private async load(): Promise<void> {
    this.ways = await ways();
    const [mine, linked] = await Promise.all([
      this.ways.passkeys && supported() ? passkeys() : undefined,
      client.call<{ identities: Identity[] }>({ method: 'GET', path: '/v1/identities' }),
    ]);
    this.passkeys = mine;
    this.identities = linked.identities;
  }

  private change(work: () => Promise<void>): void {
    void this.attempt(async () => {
      await work();
      await this.load();
    });
  }

  private submitName(event: SubmitEvent, passkey: Passkey): void {
    event.preventDefault();
    const name = String(new FormData(event.currentTarget as HTMLFormElement).get('name') ?? '').trim();
    this.renamed = '';
    this.change(() => rename(passkey.id, name));
  }

  private async link(provider: string): Promise<void> {
    const path = `/v1/oidc/${encodeURIComponent(provider)}/links`;
    await this.attempt(async () => {
      location.assign((await client.call<{ url: string }>({ method: 'POST', path })).url);
    });
  }

  protected override render(): TemplateResult {
    return html`${this.alert()} ${this.passkeyList()} ${this.identityList()}`;
  }

  private passkeyList(): TemplateResult | typeof nothing {
    const { passkeys } = this;
    if (passkeys === undefined) return nothing;
    return html`
      <section id="passkeys" aria-labelledby="passkeys-heading">
        <h2 id="passkeys-heading">Passkeys</h2>
        <p class="quiet told">
          A passkey signs you in with your fingerprint, face or screen lock. It works on this site only, and there is
          nothing to type or to forget.
        </p>
        ${
          passkeys.length === 0
            ? nothing
            : html`<ul class="rows">${passkeys.map((passkey) => html`<li>${this.passkeyRow(passkey)}</li>`)}</ul>`
        }
        <button id="add-passkey" ?disabled=${this.busy} @click=${() => this.change(() => add(deviceName()))}>
          Add a passkey
        </button>
      </section>
    `;
  }

  private passkeyRow(passkey: Passkey): TemplateResult {
    if (this.renamed === passkey.id) {
      return html`<form class="inline" @submit=${(event: SubmitEvent) => this.submitName(event, passkey)}>
        <input name="name" aria-label="Name of the passkey" required maxlength="100" .value=${passkey.name} />
        <button type="submit" ?disabled=${this.busy}>Keep</button>
        <button type="button" class="plain" @click=${() => (this.renamed = '')}>Leave it</button>
      </form>`;
    }
    const used = passkey.last_used_at_ms;
    return html`
      <div class="grow">
        <strong>${passkey.name}</strong>
        <span class="quiet">
          Added ${date(passkey.created_at_ms)}${used === null ? ', not used yet' : `, last used ${date(used)}`}
        </span>
      </div>
      <div class="actions">
        <button class="plain" aria-label=${`Rename ${passkey.name}`} @click=${() => (this.renamed = passkey.id)}>
          Rename
        </button>
        <button
          class="plain"
          aria-label=${`Remove ${passkey.name}`}
          ?disabled=${this.busy}
          @click=${() => this.change(() => remove(passkey.id))}
        >
          Remove
        </button>
      </div>
    `;
  }

  private identityList(): TemplateResult | typeof nothing {
    const linked = new Set(this.identities.map(({ provider }) => provider));
    const others = (this.ways?.providers ?? []).filter(({ name }) => !linked.has(name));
    if (this.identities.length === 0 && others.length === 0) return nothing;
    return html`
      <section id="identities" aria-labelledby="identities-heading">
        <h2 id="identities-heading">Linked accounts elsewhere</h2>
        ${
          this.identities.length === 0
            ? nothing
            : html`<ul class="rows">
                ${this.identities.map((identity) => html`<li>${this.identityRow(identity)}</li>`)}
              </ul>`
        }
        <div class="actions">
          ${others.map(
            ({ name, label }) => html`<button
              class="second"
              data-provider=${name}
              ?disabled=${this.busy}
              @click=${() => this.link(name)}
            >
              Link ${label}
            </button>`,
          )}
        </div>
      </section>
    `;
  }

  private identityRow(identity: Identity): TemplateResult {
    const { id, label, created_at_ms, last_used_at_ms: used } = identity;
    const path = `/v1/identities/${id}`;
    return html`
      <div class="grow">
        <strong>${label}</strong>
        <span class="quiet">
          Linked ${date(created_at_ms)}${used === null ? ', not used yet' : `, last used ${date(used)}`}
        </span>
      </div>
      <div class="actions">
        <button
          class="plain"
          aria-label=${`Unlink ${label}`}
          ?disabled=${this.busy}
          @click=${() => this.change(() => client.call({ method: 'DELETE', path }))}
        >
          Unlink
        </button>
      </div>
    `;
  }
}

customElements.define('account-ways', AccountWays);

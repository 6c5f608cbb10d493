-- Since when it is known that whoever has the account reads the letters to its address. None: nobody has shown it yet.

alter table accounts add column email_verified_at_ms bigint;

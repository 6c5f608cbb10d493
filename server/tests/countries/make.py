# Makes the two small databases of this folder: python -m pip install mmdb-writer==0.2.7; python make.py
# Networks are those for documentation (RFC 5737, RFC 3849), so that nobody's address is in them.
from mmdb_writer import MMDBWriter
from netaddr import IPSet


def write(name, networks):
    writer = MMDBWriter(6, "Test-Country", languages=["en"], ipv4_compatible=True, description="for tests")
    for network, code in networks.items():
        writer.insert_network(IPSet([network]), {"country": {"iso_code": code}})
    writer.to_db_file(name)


write("first.mmdb", {"192.0.2.0/24": "DE", "198.51.100.0/24": "FR", "2001:db8:aa::/48": "US"})
write("second.mmdb", {"192.0.2.0/24": "AT"})

"""One BitTorrent peer of the bench's swarm, by libtorrent. Prints `done` once it has every byte; ends when it is killed.

peer.py make FILE TORRENT | peer.py seed|leech TORRENT DIR ADDRESS PORT PEER...
"""
import os
import sys
import time

import libtorrent as lt

LOOK_SECONDS = 0.02
RECONNECT_SECONDS = 1


def make(file, torrent):
    storage = lt.file_storage()
    lt.add_files(storage, file)
    made = lt.create_torrent(storage)
    lt.set_piece_hashes(made, os.path.dirname(file))
    with open(torrent, "wb") as out:
        out.write(lt.bencode(made.generate()))


def peer(role, torrent, folder, address, port, others):
    # As the clients of a local network would be set: no discovery, no slots held back, plain TCP.
    session = lt.session({
        "listen_interfaces": f"{address}:{port}", "outgoing_interfaces": address,
        "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
        "enable_outgoing_utp": False, "enable_incoming_utp": False, "unchoke_slots_limit": 20,
        "send_buffer_watermark": 4 * 1024 * 1024, "max_out_request_queue": 1500,
        "peer_connect_timeout": 3, "min_reconnect_time": 1,
    })
    settings = {"ti": lt.torrent_info(torrent), "save_path": folder}
    if role == "seed":
        settings["flags"] = lt.torrent_flags.seed_mode
    handle = session.add_torrent(settings)
    asked = 0.0
    while not handle.status().is_seeding or role == "seed":
        if time.monotonic() - asked > RECONNECT_SECONDS and role != "seed":
            asked = time.monotonic()
            for other in others:
                handle.connect_peer((other, port))
        time.sleep(LOOK_SECONDS)
    print("done", flush=True)
    while True:
        time.sleep(1)


if sys.argv[1] == "make":
    make(*sys.argv[2:4])
else:
    peer(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]), sys.argv[6:])

"""Publish a status as a gateway and print the broker's answer: 0 for let in, 1 for refused.

Arguments: the identity folder, the site, the gateway.
"""

import sys
import threading
from pathlib import Path

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from common import topics
from common.tls import client_context

folder, site, gateway = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
answered = threading.Event()
codes: list[int] = []
client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=gateway, protocol=mqtt.MQTTv5)
client.tls_set_context(client_context(folder / "ca.crt", folder / "gateway.crt", folder / "gateway.key"))
client.on_connect = lambda client, _, __, ___, ____: client.publish(topics.up(site, gateway), b"", qos=1)


def on_publish(client: mqtt.Client, _: object, __: int, code: object, ___: object) -> None:
    codes.append(int(getattr(code, "value", 1)))
    answered.set()


client.on_publish = on_publish
try:
    client.connect("127.0.0.1", 8883)
    client.loop_start()
    answered.wait(3)
    client.loop_stop()
except OSError:
    pass
print(int(codes != [0]))

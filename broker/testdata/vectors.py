# What omni-box 0.3.1 sends for some events, printed as JSON. Made with
#   python3.12 -m venv venv && venv/bin/pip install 'omni-box[postgres,kafka]==0.3.1'
#   venv/bin/python vectors.py > omni_box_0_3_1.json
import json, asyncio, base64
from datetime import datetime, timezone, timedelta
from uuid import UUID
from omni_box.core.models.entities import OutboxEvent
from omni_box.core.converters.event import *
from omni_box.infra.brokers.kafka.publisher import KafkaEventPublisher
sent = []
class P:
    async def send_and_wait(self, **kw): sent.append(kw)
base = dict(id=UUID("3f0d4a51-8a3e-4d0a-9a52-6a3c1a6f2b10"), event_type="order.placed", aggregate_type="order",
  aggregate_id=UUID("9c2f3c66-5f0c-4a44-8b42-0c0b5be0a001"), topic="orders", partition_key="k-1",
  created_at=datetime(2026,1,2,3,4,5,678900,tzinfo=timezone.utc), scheduled_at=datetime(2026,1,2,3,4,5,678900,tzinfo=timezone.utc))
cases = [
 ("plain", dict(payload={"a":1,"bb":[1,2.5,True,None,"x"]})),
 ("no microseconds", dict(payload={"a":1}, created_at=datetime(2026,1,2,3,4,5,tzinfo=timezone.utc))),
 ("few microseconds", dict(payload={"a":1}, created_at=datetime(2026,1,2,3,4,5,7,tzinfo=timezone.utc))),
 ("other zone", dict(payload={"a":1}, created_at=datetime(2026,1,2,3,4,5,120000,tzinfo=timezone(timedelta(hours=5,minutes=30))), scheduled_at=datetime(2026,1,2,3,4,5,120000,tzinfo=timezone(timedelta(hours=5,minutes=30))))),
 ("escapes", dict(payload={"s":"<a href=\"x\">&'\\/ \u2028 \u2029 \x00\x01\x08\x09\x0a\x0b\x0c\x0d\x1f\x7f\x80 é 漢 😀","k\"<\u2028":"v"}, event_type="t<&>\u2028\"\\", schema_version="1<&>\u2029")),
 ("all ids", dict(payload={"a":{"b":{"c":[]}}}, schema_version="2.1", trace_id="4bf92f3577b34da6a3ce929d0e0e4736", correlation_id="c-\u00e9\"1", causation_id="z<1>", headers={"b":"2","aa":"3","a":"1","tenant":"é漢","zz":"4"})),
 ("user headers are overwritten in place", dict(payload={"a":1}, trace_id="T", correlation_id="C", headers={"event_id":"mine","trace_id":"mine","x":"1","event_type_x":"y","schema_version":"kept"})),
 ("header names differ in case", dict(payload={"a":1}, schema_version="3", headers={"Event_Id":"mine","SCHEMA_VERSION":"mine"})),
 ("key beyond ASCII", dict(payload={"a":1}, partition_key="kündin-漢", aggregate_type="bestellung<ü>")),
 ("big and negative numbers", dict(payload={"n":-9223372036854775808,"m":18446744073709551615,"f":1.25,"e":1e-7})),
]
def jsonb(d):  # the order in which Postgres gives the keys of a jsonb object
    if isinstance(d, dict): return {k: jsonb(d[k]) for k in sorted(d, key=lambda k:(len(k.encode()), k.encode()))}
    if isinstance(d, list): return [jsonb(x) for x in d]
    return d
import orjson
out=[]
for name, kw in cases:
    kw={**base, **kw}
    kw["payload"]=jsonb(kw["payload"])
    if kw.get("headers"): kw["headers"]=jsonb(kw["headers"])
    e=OutboxEvent(**kw)
    v={"name":name,"event":{k:(str(x) if isinstance(x,UUID) else x) for k,x in dict(id=e.id,event_type=e.event_type,aggregate_type=e.aggregate_type,aggregate_id=e.aggregate_id,topic=e.topic,partition_key=e.partition_key,schema_version=e.schema_version,trace_id=e.trace_id,correlation_id=e.correlation_id,causation_id=e.causation_id,headers=e.headers,created_at=e.created_at.isoformat(),payload=orjson.dumps(e.payload).decode()).items()}}
    for cname,c in (("raw",RawEventConverter()),("schema-versioned",SchemaVersionedConverter()),("envelope",EnvelopeEventConverter())):
        sent.clear()
        asyncio.run(KafkaEventPublisher(P(),c).publish(e,None))
        m=sent[0]
        v[cname]=dict(topic=m["topic"],key=m["key"].decode(),value=m["value"].decode(),headers=[[k,x.decode()] for k,x in m["headers"]])
    out.append(v)
print(json.dumps(out,ensure_ascii=True,indent=1))

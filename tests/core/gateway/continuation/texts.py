# ruff: noqa: E501 - texts, as they are
"""Nine kinds of text that an answer may break off in, each a few hundred characters of our own."""

from __future__ import annotations

KINDS = {
    "english": (
        "The ferry leaves the old harbour at six, long before the bakery opens. Whoever wants a seat by the window should "
        "come early, bring a warm coat and ask the purser about the northern islands. On clear days seals rest below the "
        "lighthouse; children wave at them, although nobody has ever seen one wave back. Later the route turns west."
    ),
    "chinese": (
        "清晨六点，渡轮离开旧港，那时面包店还没有开门。想坐在窗边的人应该早点来，带上厚外套，并向乘务员打听北方岛屿的情况。"
        "天气晴朗的时候，海豹在灯塔下面休息；孩子们向它们挥手，虽然从来没有人看见哪一只挥手回应。随后航线转向西边，"
        "海风变得更冷，船上的厨师开始准备热汤和新鲜的鱼。傍晚时分，旅客们在甲板上看见远处城市的灯光一盏一盏亮起来。"
    ),
    "japanese": (
        "朝六時、フェリーは古い港を出発します。そのころパン屋はまだ開いていません。窓側の席に座りたい人は早めに来て、"
        "暖かい上着を持ち、北の島々について乗務員に尋ねるとよいでしょう。晴れた日にはアザラシが灯台の下で休み、子どもたちは手を振りますが、"
        "手を振り返すアザラシを見た人は誰もいません。やがて航路は西へ向かい、海風は冷たくなり、料理人が温かいスープを用意し始めます。"
    ),
    "identifiers": (
        "Call HarbourTimetableSynchronisationServiceConfigurationBuilderFactory.create_default_builder_with_retry_policy, then "
        "register_departure_notification_callback_for_northern_islands_route and "
        "PassengerManifestReconciliationBackgroundWorkerRegistry.shutdown_gracefully_after_pending_transactions_completed; "
        "finally read LighthouseBeaconTelemetryAggregationPipelineDescriptor.maximum_observed_wave_height_in_millimetres."
    ),
    "python": (
        "```python\ndef departures(table, *, after):\n    found = []\n    for row in table:\n        if row.leaves_at <= after:\n"
        "            continue\n        found.append((row.leaves_at, row.harbour))\n    return sorted(found)\n\n\n"
        "class Ferry:\n    def __init__(self, name: str, seats: int = 40) -> None:\n        self.name = name\n"
        "        self.seats = seats\n        self.aboard: list[str] = []\n\n    def board(self, person: str) -> bool:\n"
        "        if len(self.aboard) == self.seats:\n            return False\n        self.aboard.append(person)\n        return True\n```\n"
    ),
    "german": (
        "Die Donaudampfschifffahrtsgesellschaft veröffentlicht ihre Fahrplanänderungsbenachrichtigungen rechtzeitig vor dem "
        "Inkrafttreten der Hafenbenutzungsgebührenverordnung. Für Kraftfahrzeughaftpflichtversicherungsbescheinigungen gilt die "
        "Aufbewahrungspflicht; Mehrzweckfährschiffskapitänspatentprüfungen finden halbjährlich statt, und die "
        "Rechtsschutzversicherungsgesellschaften verlangen Grundstücksverkehrsgenehmigungszuständigkeitsübertragungsnachweise."
    ),
    "addresses": (
        "See https://harbour.example.org/timetables/2026/winter/northern_islands.html?from=old-town&to=lighthouse#departures "
        "first, then https://de.example.org/wiki/Fähre_(Schiff)/Geschichte/Neunzehntes_Jahrhundert and "
        "https://files.example.com/~captain/archive/v2.13/manifest-2026-11-29T06:00:00Z.tar.gz?signature=9f86d081884c7d659a2f "
        "or https://docs.example.net/en/stable/reference/passenger_manifest/__init__.html#boarding-order"
    ),
    "tables": (
        "| Route | Leaves | Seats | Note |\n|---|--:|--:|---|\n| North | 06:00 | 40 | warm coat |\n| West | 07:30 | 22 | soup |\n"
        "| South | 09:15 | 31 | seals |\n| Harbour round | 10:00 | 12 | children |\n| Lighthouse | 11:45 | 18 | steep stairs |\n"
        "| Mainland | 13:20 | 64 | bicycles |\n| Evening | 18:05 | 44 | bar open |\n"
    ),
    "lists": (
        "1. Before boarding\n   - show the ticket\n   - stow heavy bags below\n   - keep the gangway free\n2. On the way\n"
        "   - **stay seated** in the narrows\n   - feed no gulls\n   - ask for `soup` at the bar\n3. After landing\n"
        "   - wait for the bell\n   - help whoever needs help\n   - look back once, the view is *worth it*\n"
    ),
}

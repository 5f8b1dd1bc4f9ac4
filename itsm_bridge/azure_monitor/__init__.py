"""What does Azure Monitor say, and how is it told to people?

The webhook gives the body of a request to this room and gets one notification. The room reads and words it. It asks
nobody, keeps nothing and knows no clock: fetching, storing and deciding are done elsewhere.

    body ──▶ json_body ──▶ older_schemas ──▶ alert ──▶ correlation ──┐
                                               │                     ├──▶ notification
                                               └──▶ wording ─────────┘

    json_body      reads any JSON object, by names of any case
    older_schemas  translates what is not in the common alert schema
    alert          says what kind of alert it is, and what every kind has
    correlation    says which incident the alert belongs to, and whether it opens or closes that
    criteria       reads what the rules of metric and log alerts compare
    affected       says which resources are affected, the surest first
    timestamps     reads Azure's spellings of times and durations
    html_text      reads the HTML in Azure's texts
    wording/       puts each kind of alert into words
    notification   joins all of it for the reconciler
"""

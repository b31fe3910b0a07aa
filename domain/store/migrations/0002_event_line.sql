-- An event's canonical line, assembled on the server: what backups write and rebuilds check moves as bytes, without an
-- object for each event. Takes no lock that matters. Milliseconds.

-- Byte for byte what domain.events.line writes, without a line feed. A plain expression, so that PostgreSQL inlines it;
-- declared STABLE because to_char is, and a function that promises more than its body is not inlined.
CREATE FUNCTION event_line_1(type text, type_version smallint, entity_id uuid, version integer, at timestamptz,
                             actor text, via text, data text)
RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT '{"type":"' || type || '","type_version":' || type_version::text || ',"entity":"' || entity_id::text
        || '","version":' || version::text
        || ',"at":"' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '","actor":"' || actor || '","via":"' || via || '","data":' || data || '}'
$$;

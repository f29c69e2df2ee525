-- A package of Oracle is a schema here. Pending units are not taken off, as on the one base where that was seen.
CREATE SCHEMA pkg_estoque;
CREATE FUNCTION pkg_estoque.estoque_disponivel(
    produto numeric, filial varchar, tipo varchar DEFAULT 'V', dia timestamp DEFAULT NULL
) RETURNS numeric LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF tipo <> 'V' THEN
        RAISE EXCEPTION 'tipo %', tipo;
    END IF;
    RETURN (
        SELECT COALESCE(qtestger, 0) - COALESCE(qtreserv, 0) - COALESCE(qtbloqueada, 0)
        FROM winthor.pcest WHERE codprod = produto AND codfilial = filial
    );
END $$;
CREATE ROLE reader LOGIN PASSWORD 'p;w }d';
ALTER ROLE reader SET search_path = winthor, public;
GRANT USAGE ON SCHEMA winthor, pkg_estoque TO reader;
GRANT SELECT ON ALL TABLES IN SCHEMA winthor TO reader;

"""Operations: a file a family; in each, public function · shape rule · gradient · lowering."""
